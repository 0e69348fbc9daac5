"""A server on this machine that speaks the part of Daily's REST API that makes rooms and meeting tokens."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.wire.server import Refusal, serving


@dataclass
class DailyServer:
    """What came."""

    url: str = ""
    key: str = "daily-secret"
    refusal: Refusal | None = None
    malformed: bool = False
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    rooms: set[str] = field(default_factory=set)


@contextlib.asynccontextmanager
async def daily_server() -> AsyncIterator[DailyServer]:
    """Serve on a free port."""
    server = DailyServer()

    def refuses(request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {server.key}":
            return web.json_response({"error": "authentication-error", "info": server.key}, status=401)
        if server.malformed:
            return web.Response(text="{")
        return server.refusal.response() if server.refusal is not None else None

    async def make_room(request: web.Request) -> web.Response:
        if (refused := refuses(request)) is not None:
            return refused
        server.asked.append(("rooms", (await request.json())["properties"]))
        server.rooms.add("made")
        url = f"{server.url.removesuffix('/v1')}/made"
        return web.json_response({"id": "1", "name": "made", "url": url, "privacy": "public", "config": {}})

    async def make_token(request: web.Request) -> web.Response:
        if (refused := refuses(request)) is not None:
            return refused
        server.asked.append(("meeting-tokens", (await request.json())["properties"]))
        return web.json_response({"token": "token-secret"})

    async def remove_room(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        server.rooms.discard(name)
        return web.json_response({"deleted": True, "name": name})

    app = web.Application()
    app.router.add_post("/v1/rooms", make_room)
    app.router.add_post("/v1/meeting-tokens", make_token)
    app.router.add_delete("/v1/rooms/{name}", remove_room)
    async with serving(app) as port:
        server.url = f"http://127.0.0.1:{port}/v1"
        yield server
