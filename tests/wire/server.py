"""What the servers of this package have in common: a port of this machine, and how they refuse."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Refusal:
    """An HTTP error instead of a connection."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def response(self) -> web.Response:
        return web.Response(status=self.status, headers=self.headers, text=self.body)


@dataclass
class Power:
    """What a server runs on: off, its connections end and its port refuses; on again, it has the same port."""

    app: web.Application | None = None
    port: int = 0
    _runner: web.AppRunner | None = None

    async def on(self) -> None:
        assert self.app is not None
        # An application can be served once; its routes are enough for the next time.
        served = web.Application()
        served.add_routes(
            [
                web.route(r.method, r.resource.canonical, r.handler)
                for r in self.app.router.routes()
                if r.method != "HEAD"
            ]
        )
        self._runner = web.AppRunner(served, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def off(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def serving(app: web.Application, power: Power | None = None) -> AsyncIterator[int]:
    """Serve on a free port, which is yielded."""
    power = power or Power()
    power.app = app
    await power.on()
    try:
        yield power.port
    finally:
        await power.off()


def break_off(request: web.Request) -> None:
    """Close the TCP connection without any goodbye."""
    if request.transport is not None:
        request.transport.abort()
