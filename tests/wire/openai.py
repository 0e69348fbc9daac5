"""A server on this machine that speaks OpenAI's chat completions, as its API reference describes them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.wire.server import Power, break_off, serving

Reply = Callable[[dict[str, Any]], "Answer"]


@dataclass
class Answer:
    """What the server answers: pieces of text, tool calls, or an error; `pause` seconds before each piece.

    cut: the connection ends after the pieces. raw: a line of the stream that is sent after the pieces as it is.
    """

    pieces: tuple[str, ...] = ()
    calls: tuple[tuple[str, str], ...] = ()
    status: int = 200
    pause: float = 0.0
    cut: bool = False
    retry_after: str | None = "0"
    raw: str = ""


@dataclass
class ChatServer:
    """What came, and how far each stream got."""

    power: Power = field(default_factory=Power)
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    hung_up: int = 0


@contextlib.asynccontextmanager
async def chat_server(reply: Reply, key: str | None = None) -> AsyncIterator[ChatServer]:
    """Serve on a free port; to those who know the key, if there is one."""
    server = ChatServer()

    async def complete(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        server.requests.append({**asked, "authorization": request.headers.get("Authorization")})
        known = key is None or request.headers.get("Authorization") == f"Bearer {key}"
        answer = reply(asked) if known else Answer(status=401)
        if answer.status != 200:
            error = {"error": {"message": "no: sk-secret", "type": "x", "code": None}}
            headers = {} if answer.retry_after is None else {"retry-after": answer.retry_after}
            return web.json_response(error, status=answer.status, headers=headers)
        if not asked.get("stream"):
            return web.json_response(_whole(answer))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for event in _events(answer):
                await asyncio.sleep(answer.pause)
                await response.write(f"data: {json.dumps(event)}\n\n".encode())
                server.sent += 1
            if answer.raw:
                await response.write(f"{answer.raw}\n\n".encode())
            if answer.cut:
                break_off(request)
                return response
            await response.write(b"data: [DONE]\n\n")
        except (ConnectionResetError, asyncio.CancelledError):
            server.hung_up += 1
            raise
        return response

    async def models(_: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "o"}]}
        )

    app = web.Application()
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/chat/completions", complete)
    async with serving(app, server.power) as port:
        server.url = f"http://127.0.0.1:{port}/v1"
        yield server


def _events(answer: Answer) -> list[dict[str, Any]]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}

    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": piece}) for piece in answer.pieces]
    for index, (name, arguments) in enumerate(answer.calls):
        head = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        events.append(chunk({"tool_calls": [head]}))
        half = len(arguments) // 2
        for part in (arguments[:half], arguments[half:]):
            events.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]}))
    events.append(chunk({}, "tool_calls" if answer.calls else "stop"))
    usage = {"prompt_tokens": 90, "completion_tokens": len(answer.pieces), "total_tokens": 90 + len(answer.pieces)}
    events.append({**chunk({}), "choices": [], "usage": {**usage, "prompt_tokens_details": {"cached_tokens": 64}}})
    return events


def _whole(answer: Answer) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(answer.pieces)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
