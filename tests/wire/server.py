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


@contextlib.asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """Serve on a free port, which is yielded."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def break_off(request: web.Request) -> None:
    """Close the TCP connection without any goodbye."""
    if request.transport is not None:
        request.transport.abort()
