"""Settings of the plugins for services on the network, each with a server of its protocol on this machine."""

from __future__ import annotations

import contextlib

import pytest
from aiohttp import web

from tests.wire.cartesia import cartesia_server
from tests.wire.daily import daily_server
from tests.wire.deepgram import deepgram_server
from tests.wire.openai import Answer, chat_server
from tests.wire.server import serving
from tests.wire.speech import ToldEars

HEARD = "He might even have been made amiable himself."
ANSWER = Answer(tuple(f"{word} " for word in f"{HEARD} He was very amiable, and so was she.".split()), pause=0.02)
DEAL = {
    "name": "deal_card",
    "description": "Deal a card.",
    "parameters": {"card": {"type": "string", "description": "which"}},
    "examples": [{"user": "Deal the ace", "arguments": {"card": "ace"}}],
}


@contextlib.asynccontextmanager
async def deepgram():
    async with deepgram_server(ToldEars(HEARD)) as server:
        yield {"api_key": server.key, "base_url": server.url}


@contextlib.asynccontextmanager
async def openai():
    async with chat_server(lambda _: ANSWER, "sk-very-secret") as server:
        yield {"model": "m", "base_url": server.url, "api_key": "sk-very-secret"}


@contextlib.asynccontextmanager
async def langchain():
    pytest.importorskip("langchain_openai", reason="langchain-openai is in the test extra")
    async with openai() as options:
        yield {"model": "langchain_openai:ChatOpenAI", "options": {**options, "max_retries": 0}}


@contextlib.asynccontextmanager
async def cartesia():
    async with cartesia_server() as server:
        yield {"api_key": server.key, "base_url": server.url, "voice": "voice-1"}


@contextlib.asynccontextmanager
async def daily():
    async with daily_server() as server:
        yield {"api_key": server.key, "base_url": server.url, "join_seconds": 1}


@contextlib.asynccontextmanager
async def backend_rpc():
    async def answer(request):
        if request.headers.get("Authorization") != "Bearer shop-secret":
            return web.json_response({"error": "Who are you?"}, status=401)
        return web.json_response({"dealt": (await request.json())["arguments"]["card"]})

    app = web.Application()
    app.router.add_post("/deal", answer)
    async with serving(app) as port:
        yield {**DEAL, "url": f"http://127.0.0.1:{port}/deal", "headers": {"Authorization": "Bearer shop-secret"}}


REMOTE = {
    ("stt", "deepgram"): deepgram,
    ("llm", "openai_compatible"): openai,
    ("llm", "langchain"): langchain,
    ("tts", "cartesia"): cartesia,
    ("transport", "daily"): daily,
    ("tool", "backend_rpc"): backend_rpc,
}
