"""Every built-in provider through the kit: local ones with their models, the others with servers of their protocol."""

from __future__ import annotations

import contextlib
import sys

import pytest
from aiohttp import web

from animacy.core.provider import CharacterContext
from animacy.testing import Material, check, check_async
from tests.conftest import ROOT
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
MODULE = '''
def add(first: int, second: int = 2) -> int:
    """Add two numbers.

    Args:
        first: The one.
        second: The other.
    """
    return first + second
'''
SERVER = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("sums")

@server.tool()
def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second

server.run()
'''
LOCAL = {
    ("stt", "whisper"): {},
    ("llm", "llama"): {"model": "smollm2-135m", "context_tokens": 512},
    ("tts", "kokoro"): {},
    ("video", "portrait"): {},
    ("transport", "file"): {"input": "speech.flac", "output": "film.mp4"},
    ("transport", "web"): {"port": 0},
    ("tool", "client_event"): DEAL,
    ("tool", "page_actions"): {"targets": {"menu": "the menu"}},
    ("tool", "python"): {"function": "conform_sums:add"},
    ("tool", "mcp"): {"command": sys.executable, "args": ["{folder}/sums.py"]},
    ("vision", "perception"): {"text": False},
    ("embedding", "minilm"): {},
    ("embedding", "langchain"): {
        "model": "langchain_core.embeddings:DeterministicFakeEmbedding",
        "options": {"size": 8},
    },
    ("knowledge", "chroma"): {"token": "chroma-secret"},
}
CALLS = {"click": {"target": "menu"}, "add": {"first": 1, "second": 2}}


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
ELSEWHERE = {
    ("video", "video_engine"): ROOT / "tests" / "plugins" / "video_engine" / "test_conformance.py",
    ("embedding", "sentence_transformers"): ROOT / "tests" / "plugins" / "test_sentence_transformers.py",
}


def of(providers):
    return pytest.mark.parametrize(("role", "name"), providers, ids=lambda value: value)


@pytest.fixture
def character(tmp_path, monkeypatch):
    """One in a folder of its own, with what its plugins are asked to use, and leave to do so."""
    (tmp_path / "conform_sums.py").write_text(MODULE)
    (tmp_path / "sums.py").write_text(SERVER)
    (tmp_path / "speech.flac").symlink_to(Material().speech)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANIMACY_ALLOW_MODULES", "conform_sums,langchain_core,langchain_openai")
    monkeypatch.setenv("ANIMACY_ALLOW_COMMANDS", sys.executable)
    yield CharacterContext("Iris", persona="You are Iris.", max_answer_tokens=48, folder=tmp_path)
    sys.modules.pop("conform_sums", None)


@of(LOCAL)
def test_one_on_this_machine(role, name, plugins, character):
    report = check(role, name, LOCAL[role, name], plugins, character=character, material=Material(calls=CALLS))
    report.raise_if_failed()


@of(REMOTE)
async def test_one_on_the_network(role, name, plugins, character):
    async with REMOTE[role, name]() as settings:
        report = await check_async(role, name, settings, plugins, character=character)
    report.raise_if_failed()
    outcomes = {result.name: result.outcome for result in report.results}
    for rule in ("hides secrets in its settings", "tells of a wrong key", "keeps secrets out of logs and errors"):
        assert outcomes[rule] == "passed", report


def test_every_built_in_is_tried(plugins):
    offered = {
        (role, p.name) for plugin in plugins.loaded if plugin.origin == "built in" for role, p in plugin.providers
    }
    assert {*LOCAL, *REMOTE, *ELSEWHERE} == offered
    assert all(path.exists() for path in ELSEWHERE.values())
