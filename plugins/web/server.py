"""The web server: the page, the live connections, and what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMessage, WSMsgType, web
from loguru import logger
from PIL import Image

from animacy.core.errors import AnimacyError, InputError
from animacy.core.pipeline.host import Host
from animacy.core.provider import CharacterContext
from animacy.core.report import Report
from animacy.core.video.image import load_image
from animacy.plugins.web import WebSettings
from animacy.plugins.web.link import Link
from animacy.plugins.web.protocol import (
    MAX_BINARY,
    SUBPROTOCOL,
    CloseCode,
    Hello,
    ProtocolError,
    message,
    parse,
    parse_hello,
)
from animacy.plugins.web.visit import Visit, choose_formats

STATIC = Path(__file__).parent / "static"
HELLO_SECONDS = 10.0
HEARTBEAT_SECONDS = 10.0
MAX_JUNK = 50
"""Messages that are not of the protocol, after which a client is sent away."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self'; worker-src 'self' blob:; img-src 'self' data: blob:; "
        "connect-src 'self' ws: wss:; media-src 'self' blob:; frame-ancestors 'self'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_CODES = {"time limit": CloseCode.TIME_LIMIT, "interrupted": CloseCode.CLOSING}
_REASONS = {"time limit": "The time for this conversation is over.", "interrupted": "The character is leaving."}


class WebServer:
    """Satisfies animacy.core.pipeline.transport.Server."""

    def __init__(self, settings: WebSettings, context: CharacterContext) -> None:
        self.settings = settings
        self._context = context
        self._runner: web.AppRunner | None = None
        self._host: Host | None = None
        self._visits: dict[str, Visit] = {}
        self._conversations: dict[str, asyncio.Task[Report]] = {}
        self._links: set[Link] = set()
        self._closing = False

    async def bind(self) -> str:
        """Take the port. Raises InputError."""
        app = web.Application(client_max_size=256 * 1024)
        app.on_response_prepare.append(_add_headers)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/api/live", self._live),
                web.get("/api/config", self._config),
                web.get("/api/metrics", self._metrics),
                web.get("/api/poster.jpg", self._poster),
                web.static("/", STATIC),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=3.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            taken = error.errno == errno.EADDRINUSE
            where = f"{self.settings.host}:{self.settings.port}"
            raise InputError(
                f"cannot serve at {where}: {'the port is taken' if taken else error.strerror or error}",
                "Give another one: --port 7861, or --port 0 for any.",
            ) from error
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def serve(self, host: Host) -> None:
        """Take visitors until cancelled."""
        self._host = host
        try:
            await asyncio.Event().wait()
        finally:
            await self._close()

    async def _close(self) -> None:
        self._closing = True
        for task in self._conversations.values():
            task.cancel()
        await asyncio.gather(*self._conversations.values(), return_exceptions=True)
        await asyncio.gather(*(link.close(CloseCode.CLOSING) for link in set(self._links)), return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _config(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"connection": self.settings.connection, "webrtc": False, "character": self._character()}
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        if self._host is None:
            raise web.HTTPServiceUnavailable(text="the character is still loading")
        return web.Response(text=self._host.metrics.snapshot().model_dump_json(), content_type="application/json")

    async def _poster(self, _: web.Request) -> web.Response:
        """The character before anybody talks to it."""
        if self._host is None:
            raise web.HTTPServiceUnavailable(text="the character is still loading")
        portrait = self._host.loaded.portrait.image
        return web.Response(body=await asyncio.to_thread(_thumbnail, portrait), content_type="image/jpeg")

    def _character(self) -> dict[str, str]:
        return {"name": self._context.name, "language": self._context.language}

    async def _live(self, request: web.Request) -> web.StreamResponse:
        self._check_origin(request)
        ws = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,), max_msg_size=MAX_BINARY, heartbeat=HEARTBEAT_SECONDS, compress=False
        )
        await ws.prepare(request)
        link = Link(request, ws, max(2.0, self.settings.grace))
        self._links.add(link)
        try:
            await self._receive(ws, link)
        finally:
            self._links.discard(link)
            await link.close(CloseCode.ENDED)
        return ws

    def _check_origin(self, request: web.Request) -> None:
        """Other sites' pages may not talk with the visitor's browser's rights."""
        origin = request.headers.get("Origin")
        if origin and urlsplit(origin).netloc != request.host and origin not in self.settings.origins:
            raise web.HTTPForbidden(text="this page may not connect; allow its address in `transport.origins`")

    async def _receive(self, ws: web.WebSocketResponse, link: Link) -> None:
        try:
            hello = await self._hello(ws)
        except ProtocolError as error:
            await self._refuse(link, "version", str(error), CloseCode.NOT_THIS_PROTOCOL)
            return
        visit = await self._visit(hello, link)
        if visit is None:
            return
        closing = asyncio.create_task(link.closed.wait(), name="link closed")
        try:
            await self._listen(ws, link, visit, closing)
        finally:
            closing.cancel()
            visit.detach(link)

    async def _hello(self, ws: web.WebSocketResponse) -> Hello:
        try:
            first = await asyncio.wait_for(ws.receive(), HELLO_SECONDS)
        except TimeoutError:
            raise ProtocolError("no hello came") from None
        if first.type is not WSMsgType.TEXT:
            raise ProtocolError("the first message must be hello")
        hello = parse_hello(first.data)
        choose_formats(hello)
        return hello

    async def _visit(self, hello: Hello, link: Link) -> Visit | None:
        """The visit that goes on over this link, or a new one; None when the visitor was sent away."""
        if self._host is None or self._closing:
            await self._refuse(link, "closing", "The character is not ready.", CloseCode.CLOSING)
            return None
        visit = self._visits.get(hello.session or "")
        if visit is None:
            if self._host.full:
                await self._make_room()
            if self._host.full:
                self._host.metrics.refused()
                text = f"{self._context.name} is talking with somebody else. Try again in a moment."
                await self._refuse(link, "busy", text, CloseCode.BUSY)
                return None
            visit = self._begin(self._host)
        await visit.attach(link, hello, self._character())
        return visit

    async def _make_room(self) -> None:
        """A visitor who only may come back has to yield to one who is here."""
        away = next((token for token, visit in self._visits.items() if visit.away), None)
        if away is not None:
            self._visits[away].leave()
            await asyncio.wait({self._conversations[away]}, timeout=5.0)

    def _begin(self, host: Host) -> Visit:
        visit = Visit(self._context.input_sample_rate, self.settings.grace, host.metrics)
        self._visits[visit.token] = visit
        conversation = asyncio.create_task(host.converse(visit), name="conversation")
        self._conversations[visit.token] = conversation
        conversation.add_done_callback(lambda done: self._ended(visit, done))
        return visit

    def _ended(self, visit: Visit, conversation: asyncio.Task[Report]) -> None:
        del self._visits[visit.token], self._conversations[visit.token]
        error = None if conversation.cancelled() else conversation.exception()
        if error is not None:
            known = isinstance(error, AnimacyError)
            logger.opt(exception=None if known else error).error(f"the conversation failed: {error}")
            visit.say_good_bye("failed", str(error) if known else "Something went wrong.", CloseCode.ENDED)
            return
        ended = "interrupted" if conversation.cancelled() else conversation.result().ended
        visit.say_good_bye(ended, _REASONS.get(ended, ""), _CODES.get(ended, CloseCode.ENDED))

    async def _refuse(self, link: Link, reason: str, text: str, code: CloseCode) -> None:
        link.tell(message("refused", reason=reason, message=text))
        await link.close(code, reason)

    async def _listen(self, ws: web.WebSocketResponse, link: Link, visit: Visit, closing: asyncio.Task[Any]) -> None:
        while not link.closed.is_set():
            receiving = asyncio.ensure_future(ws.receive())
            await asyncio.wait({receiving, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                receiving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await receiving
                return
            received = receiving.result()
            if received.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            try:
                await _take(visit, received)
            except ProtocolError as error:
                visit.junk += 1
                if visit.junk >= MAX_JUNK:
                    await link.close(CloseCode.NOT_THIS_PROTOCOL, str(error))
                    return


async def _take(visit: Visit, received: WSMessage) -> None:
    if received.type is WSMsgType.BINARY:
        await visit.take_binary(received.data)
    else:
        await visit.take_text(parse(received.data))


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _thumbnail(path: Path) -> bytes:
    picture = Image.fromarray(load_image(path)).convert("RGB")
    picture.thumbnail((1280, 1280))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()
