"""A server on this machine that speaks Deepgram's live transcription (`GET /v1/listen`), as its API reference says.

Query, `Authorization: Token`, binary sound up, and the text messages KeepAlive, Finalize and CloseStream; Results down,
interim and final, with `speech_final` after the silence of `endpointing` and `from_finalize` after Finalize, Metadata
at the end, `dg-error` with a refusal, and the close code 1011 when nothing came for too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from tests.wire.server import Power, Refusal, break_off, serving
from tests.wire.speech import Word

INTERIM_SECONDS = 0.2
"""Of sound between two interim results of the same words."""


class Ears(Protocol):
    """Who understands the sound of a connection (mono 16-bit)."""

    def words(self, sound: bytes) -> Sequence[Word]:
        """What was said, with the seconds in it."""
        ...

    def silence(self, sound: bytes) -> float:
        """Seconds since the last voice in it."""
        ...


@dataclass(frozen=True)
class Manner:
    """How one connection is treated.

    delay: seconds before every result. open_delay: before the handshake is answered. breaks_after: seconds of sound
    after which the TCP connection is cut. first: texts sent at once, malformed or not.
    """

    refusal: Refusal | None = None
    delay: float = 0.0
    open_delay: float = 0.0
    breaks_after: float | None = None
    first: tuple[str, ...] = ()


@dataclass
class DeepgramServer:
    """What came. Connections take the manners in turn; the last one is kept."""

    ears: Ears
    manners: list[Manner]
    power: Power = field(default_factory=Power)
    url: str = ""
    key: str = "dg-secret"
    rate: int = 16_000
    idle_seconds: float = 10.0
    queries: list[dict[str, list[str]]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    sounds: list[bytearray] = field(default_factory=list)
    open: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until_open(self, count: int) -> None:
        """Wait until so many connections are open."""
        async with asyncio.timeout(3), self.changed:
            await self.changed.wait_for(lambda: self.open == count)

    async def count(self, more: int) -> None:
        async with self.changed:
            self.open += more
            self.changed.notify_all()

    def next_manner(self) -> Manner:
        return self.manners.pop(0) if len(self.manners) > 1 else self.manners[0]


@contextlib.asynccontextmanager
async def deepgram_server(ears: Ears, *manners: Manner) -> AsyncIterator[DeepgramServer]:
    """Serve on a free port."""
    server = DeepgramServer(ears, list(manners) or [Manner()])

    async def listen(request: web.Request) -> web.StreamResponse:
        manner = server.next_manner()
        await asyncio.sleep(manner.open_delay)
        if manner.refusal is not None:
            return manner.refusal.response()
        if request.headers.get("Authorization") != f"Token {server.key}":
            return Refusal(401, {"dg-error": "Invalid credentials."}).response()
        server.queries.append({name: request.query.getall(name) for name in request.query})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await server.count(1)
        try:
            await _Listener(server, manner, request, socket).run()
        finally:
            await server.count(-1)
        return socket

    app = web.Application()
    app.router.add_get("/v1/listen", listen)
    async with serving(app, server.power) as port:
        server.url = f"ws://127.0.0.1:{port}"
        yield server


class _Listener:
    """One connection."""

    def __init__(
        self, server: DeepgramServer, manner: Manner, request: web.Request, socket: web.WebSocketResponse
    ) -> None:
        self._server, self._manner, self._request, self._socket = server, manner, request, socket
        self._sound = bytearray()
        self._final = 0.0
        self._sent = 0
        self._reported = 0.0
        self._silence = int(request.query.get("endpointing", "10")) / 1000
        server.sounds.append(self._sound)

    async def run(self) -> None:
        for text in self._manner.first:
            await self._socket.send_str(text)
        while not self._socket.closed:
            try:
                message = await self._socket.receive(self._server.idle_seconds)
            except TimeoutError:
                await self._socket.close(code=1011, message=b"NET-0001")
                return
            if message.type is WSMsgType.BINARY:
                self._sound += message.data
                if self._manner.breaks_after is not None and self._now >= self._manner.breaks_after:
                    break_off(self._request)
                    return
                await self._report()
            elif message.type is WSMsgType.TEXT:
                kind = json.loads(message.data)["type"]
                self._server.messages.append(kind)
                if kind == "Finalize":
                    await self._finish(from_finalize=True)
                elif kind == "CloseStream":
                    await self._close()
            else:
                return

    @property
    def _now(self) -> float:
        return len(self._sound) / 2 / self._server.rate

    def _words(self) -> list[Word]:
        return [word for word in self._server.ears.words(bytes(self._sound)) if word.start >= self._final - 1e-6]

    async def _report(self) -> None:
        words = self._words()
        if words and self._server.ears.silence(bytes(self._sound)) >= self._silence:
            await self._finish(speech_final=True)
        elif words and (len(words) > self._sent or self._now >= self._reported + INTERIM_SECONDS):
            self._sent, self._reported = len(words), self._now
            await self._result(words)

    async def _finish(self, **more: Any) -> None:
        if self._now > self._final:
            await self._result(self._words(), is_final=True, **more)
            self._final, self._sent = self._now, 0

    async def _result(self, words: Sequence[Word], **more: Any) -> None:
        await asyncio.sleep(self._manner.delay)
        listed = [
            {"word": word.text.lower(), "punctuated_word": word.text, "start": word.start, "end": word.end}
            for word in words
        ]
        alternative = {"transcript": " ".join(w.text for w in words), "confidence": 0.99, "words": listed}
        info = {"name": "nova", "version": "1", "arch": "nova"}
        await self._socket.send_json(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": self._final,
                "duration": self._now - self._final,
                "is_final": False,
                "speech_final": False,
                "channel": {"alternatives": [alternative]},
                "metadata": {"request_id": "r", "model_uuid": "m", "model_info": info},
                "from_finalize": False,
                **more,
            }
        )

    async def _close(self) -> None:
        await self._finish()
        metadata = {"type": "Metadata", "transaction_key": "deprecated", "request_id": "r", "sha256": "", "created": ""}
        await self._socket.send_json({**metadata, "duration": self._now, "channels": 1})
        await self._socket.close()
