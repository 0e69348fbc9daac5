"""Round trips to a real server, and every way in which they go wrong."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from animacy.core.errors import AnimacyError, ToolError
from animacy.core.tools.handlers import register_handler, unregister_handler
from tests.core.tools.sources import load, opened

TOKEN = "s3cret-token-of-the-shop"


class Shop:
    """A back end: the path says how it behaves."""

    def __init__(self):
        self.requests = []
        self.app = web.Application()
        self.app.router.add_post("/{kind}", self.answer)

    async def answer(self, request):
        kind = request.match_info["kind"]
        body = await request.json()
        self.requests.append((kind, body, request.headers.copy()))
        count = sum(seen == kind for seen, _, _ in self.requests)
        if kind == "order":
            return web.json_response({"number": body["arguments"]["number"], "status": "shipped"})
        if kind in ("broken", "denied", "missing"):
            return web.Response(status={"broken": 500, "denied": 401, "missing": 404}[kind], text="<h1>at db1</h1>")
        if kind == "shaky":
            return web.json_response("third time lucky") if count == 3 else web.Response(status=503)
        if kind == "reason":
            return web.json_response({"error": "There is no such order."}, status=422)
        if kind == "leak":
            return web.json_response({"error": f"bad token {TOKEN}"}, status=400)
        if kind == "malformed":
            return web.Response(text="{'status': shipped", content_type="application/json")
        if kind == "huge":
            return web.Response(text='"' + "x" * 400_000 + '"')
        if kind == "elsewhere":
            raise web.HTTPFound("http://elsewhere.example/")
        if kind == "empty":
            return web.Response(status=204)
        if kind == "dropped":
            request.transport.close()
            return web.Response()
        await asyncio.sleep(0.6 if kind == "slow" else 60)
        return web.json_response("at last")


@pytest.fixture
async def shop():
    shop = Shop()
    server = TestServer(shop.app, shutdown_timeout=0)
    await server.start_server()
    shop.url = str(server.make_url("/"))
    yield shop
    await server.close()


def section(shop, kind, extra=""):
    return f"""
    - plugin: backend_rpc
      name: ask
      description: Ask the shop.
      parameters: {{number: {{type: string, pattern: "[0-9]{{4}}"}}}}
      url: {shop.url}{kind}
      headers: {{Authorization: "Bearer ${{env:SHOP_TOKEN}}"}}
      {extra}
    """


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)


async def test_there_and_back(picture, plugins, shop):
    async with opened(picture, plugins, section(shop, "order")) as toolbox:
        result = await toolbox.call("ask", {"number": 4527}, id="c9")
        assert result.value == {"number": "4527", "status": "shipped"}
    [(_, body, headers)] = shop.requests
    assert body == {"tool": "ask", "arguments": {"number": "4527"}, "call": "c9"}
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Idempotency-Key"] == "c9"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("broken", "the server has a problem"),
        ("denied", "the server does not allow it"),
        ("missing", "it was not found"),
        ("reason", "There is no such order."),
        ("leak", "the server refused it"),
        ("malformed", "the server's answer cannot be understood"),
        ("huge", "the server's answer is too long"),
        ("elsewhere", "the server sent it elsewhere"),
        ("dropped", "the server cannot be reached"),
        ("hangs", "took too long|takes too long"),
    ],
)
async def test_what_goes_wrong_is_speakable_and_tells_no_secret(picture, plugins, shop, kind, words, caplog):
    async with opened(picture, plugins, section(shop, kind, "timeout: 0.3")) as toolbox:
        result = await toolbox.call("ask", {"number": "4527"})
        assert result.status in ("failed", "timed out")
        assert any(word in result.error for word in words.split("|"))
    assert len(shop.requests) == 1, "what may not be repeated is asked once"
    told = f"{result} {caplog.text}"
    assert TOKEN not in told
    assert "127.0.0.1" not in told


async def test_only_what_may_be_repeated_is_tried_again(picture, plugins, shop):
    async with opened(picture, plugins, section(shop, "shaky", "idempotent: true")) as toolbox:
        assert (await toolbox.call("ask", {"number": "4527"})).value == "third time lucky"
    assert len({headers["Idempotency-Key"] for _, _, headers in shop.requests}) == 1
    twice = "idempotent: true\n      retries: 1\n      timeout: 1"
    async with opened(picture, plugins, section(shop, "slow", twice)) as toolbox:
        assert (await toolbox.call("ask", {"number": "4527"})).error == "the server takes too long to answer"
    assert [kind for kind, _, _ in shop.requests] == ["shaky"] * 3 + ["slow"] * 2


async def test_an_empty_answer_is_one(picture, plugins, shop):
    async with opened(picture, plugins, section(shop, "empty")) as toolbox:
        assert (await toolbox.call("ask", {"number": "4527"})).for_model() == {"result": "done"}


async def test_nobody_there(picture, plugins, shop):
    async with opened(picture, plugins, section(shop, "order").replace(shop.url, "http://127.0.0.1:1/")) as toolbox:
        assert (await toolbox.call("ask", {"number": "4527"})).error == "the server cannot be reached"


async def test_a_handler_of_this_process(picture, plugins):
    async def order(call):
        return {"number": call.arguments["number"]}

    def blocking(call):
        time.sleep(0.01)
        raise ToolError("The shop is closed.")

    tools = """
    - {plugin: backend_rpc, name: order, description: d, parameters: {number: string}, handler: test_order}
    - {plugin: backend_rpc, name: blocking, description: d, handler: test_blocking}
    - {plugin: backend_rpc, name: nothing, description: d, handler: test_nothing}
    """
    register_handler("test_order", order)
    register_handler("test_blocking", blocking)
    try:
        async with opened(picture, plugins, tools) as toolbox:
            assert (await toolbox.call("order", {"number": "1"})).value == {"number": "1"}
            assert (await toolbox.call("blocking", {})).error == "The shop is closed."
            [problem] = toolbox.problems
            assert "tools.2 (backend_rpc): this process has no tool handler called 'test_nothing'" in str(problem)
            assert "register_handler('test_nothing'" in str(problem)
    finally:
        unregister_handler("test_order")
        unregister_handler("test_blocking")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("", "needs either `url` or `handler`"),
        ("url: http://a.example, handler: x", "needs either"),
        ("url: ftp://a.example", "must begin with"),
        ("url: 'http://me:${env:SHOP_TOKEN}@a.example'", "must hold no password"),
        ("url: http://a.example, headers: {Host: x}", "cannot be a header"),
        ('url: http://a.example, headers: {X: "a\\nb"}', "one line of text"),
    ],
)
def test_mistakes_in_a_recipe(picture, plugins, keys, words):
    with pytest.raises(AnimacyError, match=words) as caught:
        load(picture, plugins, f"- {{plugin: backend_rpc, name: ask, description: d, {keys}}}")
    assert TOKEN not in str(caught.value)
