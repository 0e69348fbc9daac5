"""The web server: the page, the live connections, and what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import WSMessage, WSMsgType, web
from loguru import logger
from PIL import Image

from animacy.core.errors import AnimacyError, InputError, PluginError
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
from animacy.plugins.web.visit import Visit, Visitor, choose_formats

if TYPE_CHECKING:
    from animacy.plugins.web.rtc.offers import Offers

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
NO_WEBRTC = "this server speaks no WebRTC: pip install 'animacy[webrtc]'"
_CODES = {"time limit": CloseCode.TIME_LIMIT, "interrupted": CloseCode.CLOSING}
_REASONS = {"time limit": "The time for this conversation is over.", "interrupted": "The character is leaving."}


class WebServer:
    """Satisfies animacy.core.pipeline.transport.Server."""

    def __init__(self, settings: WebSettings, context: CharacterContext) -> None:
        self.settings = settings
        self._context = context
        self._runner: web.AppRunner | None = None
        self._host: Host | None = None
        self._visits: dict[str, Visitor] = {}
        self._conversations: dict[str, asyncio.Task[Report]] = {}
        self._links: set[Link] = set()
        self._offers = _offers(settings)
        self._closing = False

    async def bind(self) -> str:
        """Take the port. Raises InputError."""
        app = web.Application(client_max_size=256 * 1024)
        app.on_response_prepare.append(_add_headers)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/api/live", self._live),
                web.post("/api/offer", self._offer),
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
        if self._offers is not None:
            await self._offers.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _config(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"connection": self.settings.connection, "webrtc": self._offers is not None, "character": self._character()}
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

    async def _offer(self, request: web.Request) -> web.Response:
        """WebRTC's signalling: a new conversation, or new tracks and addresses of one that is held."""
        self._check_origin(request)
        if self._offers is None:
            raise web.HTTPNotImplemented(text=NO_WEBRTC)
        from animacy.plugins.web.rtc.offers import parse_offer
        from animacy.plugins.web.rtc.transport import RtcTransport

        try:
            offer = parse_offer(await request.text())
            refusal = None if self._offers.knows(offer) else await self._refusal()
            if refusal is not None:
                return _refused(*refusal)
            agreement = await self._offers.answer(offer)
        except (ProtocolError, UnicodeDecodeError) as error:
            return _refused("format", str(error))
        if agreement.connection is not None:
            refusal = await self._refusal()  # somebody may have come meanwhile
            if refusal is not None or self._host is None:
                await agreement.connection.hang_up()
                return _refused(*(refusal or ("closing", "")))
            rate, metrics = self._context.input_sample_rate, self._host.metrics
            visit = RtcTransport(agreement.connection, rate, metrics, self._character())
            self._begin(self._host, visit)
            self._offers.hold(visit)
        return web.Response(text=agreement.answer.model_dump_json(), content_type="application/json")

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
        visit = self._visits.get(hello.session or "")
        if isinstance(visit, Visit) and visit.over:  # too late by a moment: it begins anew
            await asyncio.wait({self._conversations[visit.token]}, timeout=5.0)
            visit = None
        if not isinstance(visit, Visit):
            refusal = await self._refusal()
            if refusal is not None or self._host is None:
                reason, text = refusal or ("closing", "")
                await self._refuse(link, reason, text, CloseCode.BUSY if reason == "busy" else CloseCode.CLOSING)
                return None
            visit = Visit(self._context.input_sample_rate, self.settings.grace, self._host.metrics)
            self._begin(self._host, visit)
        await visit.attach(link, hello, self._character())
        return visit

    async def _refusal(self) -> tuple[str, str] | None:
        """Why nobody can be taken in now, as a reason and for a person; None when there is room, or was made."""
        if self._host is None or self._closing:
            return "closing", "The character is not ready."
        if self._host.full:
            await self._make_room()
        if self._host.full:
            self._host.metrics.refused()
            return "busy", f"{self._context.name} is talking with somebody else. Try again in a moment."
        return None

    async def _make_room(self) -> None:
        """A visitor who only may come back has to yield to one who is here."""
        away = next((token for token, visit in self._visits.items() if visit.away), None)
        if away is not None:
            self._visits[away].leave()
            await asyncio.wait({self._conversations[away]}, timeout=5.0)

    def _begin(self, host: Host, visit: Visitor) -> None:
        self._visits[visit.token] = visit
        conversation = asyncio.create_task(host.converse(visit), name="conversation")
        self._conversations[visit.token] = conversation
        conversation.add_done_callback(lambda done: self._ended(visit, done))

    def _ended(self, visit: Visitor, conversation: asyncio.Task[Report]) -> None:
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


def _offers(settings: WebSettings) -> Offers | None:
    """WebRTC's side of the server; None without the package it needs. Raises PluginError when it is asked for."""
    try:
        from animacy.plugins.web.rtc.offers import Offers
    except ImportError as error:
        if settings.connection == "webrtc":
            raise PluginError("`connection: webrtc` needs aiortc", "pip install 'animacy[webrtc]'") from error
        return None
    return Offers(settings.ice_servers)


def _refused(reason: str, text: str) -> web.Response:
    status = 400 if reason == "format" else 503
    return web.json_response(message("refused", reason=reason, message=text), status=status)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _thumbnail(path: Path) -> bytes:
    picture = Image.fromarray(load_image(path)).convert("RGB")
    picture.thumbnail((1280, 1280))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()
