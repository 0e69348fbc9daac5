"""A server on this machine that speaks Cartesia's API (`/tts/websocket`, `/voices`), as its reference says.

Each word is a tone of 0.3 s after a gap of 0.1 s. Chunks of 0.1 s, word and phoneme timestamps, `flush_done` for each
transcript and `done` when a context is over: it was finished, or nothing came for it for `expires` seconds.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from tests.wire.server import Power, Refusal, break_off, serving
from tests.wire.speech import GAP, LENGTH

CHUNK_SECONDS = 0.1
PHONEMES = {"me": ["m", "ˈ", "i"], "puma": ["p", "j", "u", "m", "ə"], "judge": ["dʒ", "ʌ", "dʒ"], "go": ["ɡ", "oʊ"]}
VOICE = {
    "id": "voice-1",
    "access": "public",
    "created_at": "2026-01-01T00:00:00Z",
    "description": "Clear and calm",
    "is_owner": False,
    "language": "en",
    "locales": [],
    "name": "Ada",
    "tagline": "",
    "visibility": "all",
}


@dataclass(frozen=True)
class Manner:
    """How one connection is treated.

    pace: seconds before every chunk. breaks_after: seconds of sound after which the TCP connection is cut. error: sent
    instead of speech, once. first: texts sent at once, malformed or not. late: timestamps come after their chunk.
    """

    refusal: Refusal | None = None
    pace: float = 0.005
    breaks_after: float | None = None
    error: dict[str, Any] | None = None
    first: tuple[str, ...] = ()
    late: bool = False


@dataclass
class CartesiaServer:
    """What came. Connections take the manners in turn; the last one is kept."""

    manners: list[Manner]
    power: Power = field(default_factory=Power)
    url: str = ""
    key: str = "sk_car_secret"
    expires: float = 1.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    connections: int = 0
    chunks: int = 0
    clips: list[bytes] = field(default_factory=list)

    @property
    def transcripts(self) -> list[str]:
        """What was to be said, in order."""
        return [request["transcript"] for request in self.requests if request["transcript"]]

    def next_manner(self) -> Manner:
        return self.manners.pop(0) if len(self.manners) > 1 else self.manners[0]


@contextlib.asynccontextmanager
async def cartesia_server(*manners: Manner) -> AsyncIterator[CartesiaServer]:
    """Serve on a free port."""
    server = CartesiaServer(list(manners) or [Manner()])

    def refusal_of(request: web.Request) -> Refusal | None:
        if request.headers.get("Authorization") == f"Bearer {server.key}" and "Cartesia-Version" in request.headers:
            return None
        return Refusal(401, body=json.dumps({"title": "Invalid API key", "message": server.key, "error_code": None}))

    async def speak(request: web.Request) -> web.StreamResponse:
        manner = server.next_manner()
        refusal = manner.refusal or refusal_of(request)
        if refusal is not None:
            return refusal.response()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        server.connections += 1
        async with asyncio.TaskGroup() as group:
            await _Speaker(server, manner, request, socket, group).run()
        return socket

    async def voices(request: web.Request) -> web.StreamResponse:
        refusal = refusal_of(request)
        if refusal is not None:
            return refusal.response()
        found = [VOICE] if request.query.get("q", "ada").lower() in "ada clear" else []
        return web.json_response({"data": found, "has_more": False, "next_page": None})

    async def clone(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        server.clips.append(form["clip"].file.read())
        return web.json_response({**VOICE, "id": "voice-2", "name": form["name"], "user_id": "u", "is_public": False})

    app = web.Application()
    app.router.add_get("/tts/websocket", speak)
    app.router.add_get("/voices", voices)
    app.router.add_post("/voices/clone", clone)
    async with serving(app, server.power) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server


@dataclass
class _Context:
    id: str
    texts: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    seconds: float = 0.0
    flushed: int = 0
    task: asyncio.Task[None] | None = None


class _Speaker:
    """One connection."""

    def __init__(
        self,
        server: CartesiaServer,
        manner: Manner,
        request: web.Request,
        socket: web.WebSocketResponse,
        group: asyncio.TaskGroup,
    ) -> None:
        self._server, self._manner, self._request, self._socket = server, manner, request, socket
        self._group = group
        self._contexts: dict[str, _Context] = {}
        self._error = manner.error
        self._seconds = 0.0

    async def run(self) -> None:
        for text in self._manner.first:
            await self._socket.send_str(text)
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                await self._take(json.loads(message.data))
        for context in self._contexts.values():
            if context.task is not None:
                context.task.cancel()

    async def _take(self, message: dict[str, Any]) -> None:
        name = message["context_id"]
        if message.get("cancel"):
            self._server.cancelled.append(name)
            context = self._contexts.pop(name, None)
            if context is not None and context.task is not None:
                context.task.cancel()
            return
        self._server.requests.append(message)
        error, self._error = self._error, None
        if error is not None:
            await self._socket.send_json({"type": "error", "done": True, "context_id": name, **error})
            return
        if name not in self._contexts:
            context = self._contexts[name] = _Context(name)
            context.task = self._group.create_task(self._speak(context))
        self._contexts[name].texts.put_nowait(message)

    async def _speak(self, context: _Context) -> None:
        with contextlib.suppress(ConnectionResetError):
            while True:
                try:
                    request = await asyncio.wait_for(context.texts.get(), self._server.expires)
                except TimeoutError:
                    break
                if request["transcript"]:
                    await self._say(context, request)
                if not request["continue"]:
                    break
            self._contexts.pop(context.id, None)
            await self._send(context, "done", done=True)

    async def _say(self, context: _Context, request: dict[str, Any]) -> None:
        rate = request["output_format"]["sample_rate"]
        for word in request["transcript"].split():
            start = context.seconds + GAP
            sound = _tone(rate)
            chunks = np.split(sound, len(sound) // round(CHUNK_SECONDS * rate))
            timing = {"words": [word], "start": [start], "end": [start + LENGTH]}
            symbols = PHONEMES.get(word.strip(".,?!").lower(), ["ə"])
            times = [start + LENGTH * k / len(symbols) for k in range(len(symbols) + 1)]
            phonemes = {"phonemes": symbols, "start": times[:-1], "end": times[1:]}
            for index, chunk in enumerate(chunks):
                if index == self._manner.late:
                    await self._send(context, "timestamps", word_timestamps=timing)
                    if request.get("add_phoneme_timestamps"):
                        await self._send(context, "phoneme_timestamps", phoneme_timestamps=phonemes)
                await asyncio.sleep(self._manner.pace)
                data = base64.b64encode(chunk.tobytes()).decode()
                await self._send(context, "chunk", data=data, step_time=1.0)
                self._server.chunks += 1
                context.seconds += CHUNK_SECONDS
                self._seconds += CHUNK_SECONDS
                if self._manner.breaks_after is not None and self._seconds >= self._manner.breaks_after - 1e-6:
                    break_off(self._request)
                    raise ConnectionResetError
        context.flushed += 1
        await self._send(context, "flush_done", flush_done=True, flush_id=context.flushed)

    async def _send(self, context: _Context, kind: str, *, done: bool = False, **more: Any) -> None:
        await self._socket.send_json({"type": kind, "done": done, "status_code": 206, "context_id": context.id, **more})


def _tone(rate: int) -> np.ndarray:
    """A gap and a word."""
    moments = np.arange(round(LENGTH * rate)) / rate
    tone = 8000 * np.sin(2 * math.pi * 200 * moments)
    return np.concatenate([np.zeros(round(GAP * rate)), tone]).astype("<i2")
