"""Real MCP servers, made with the official SDK: over stdio and over streamable HTTP."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest

from animacy.core.errors import AnimacyError
from animacy.plugins.mcp.commands import VARIABLE
from tests.core.tools.sources import load, opened

pytest.importorskip("mcp")

SERVER = '''
import os, sys, threading
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("harbour")

@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def listBoats(harbour: str, limit: int = 2) -> list[str]:
    """List the boats of a harbour."""
    return [f"{harbour} {number}" for number in range(limit)]

@server.tool(name="sink-boat", annotations=ToolAnnotations(destructive_hint=True))
def sink(name: str) -> str:
    """Sink a boat."""
    return f"{name} is gone"

@server.tool()
async def count(to: int, context: Context) -> dict:
    """Count."""
    await context.report_progress(1, to, message="one")
    return {"counted": to, "variable": os.environ.get("COLOUR"), "argument": sys.argv[-1]}

@server.tool()
def fail() -> str:
    """Fail."""
    raise ToolError("the anchor is stuck")

@server.tool()
def crash() -> str:
    """End the server."""
    os._exit(3)

@server.tool()
def crash_soon() -> str:
    """End the server a little later."""
    threading.Timer(0.1, os._exit, [3]).start()
    return "soon"

if sys.argv[1] == "stdio":
    server.run()
else:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
'''


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "harbour_server.py"
    path.write_text(SERVER)
    return path


@pytest.fixture(autouse=True)
def allowed(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"git, {sys.executable}")


def over_stdio(extra=""):
    return f"""
    - plugin: mcp
      command: {sys.executable}
      args: ["{{folder}}/harbour_server.py", stdio, last]
      env: {{COLOUR: blue}}
      {extra}
    """


def tool_names(toolbox):
    return [tool.name for tool in toolbox.tools]


async def test_over_stdio(picture, plugins, script):
    async with opened(picture, plugins, over_stdio()) as toolbox:
        assert not toolbox.problems
        assert tool_names(toolbox) == ["list_boats", "sink_boat", "count", "fail", "crash", "crash_soon"]
        assert [tool.consequential for tool in toolbox.tools] == [False, True, False, False, False, False]
        assert (await toolbox.call("list_boats", {"harbour": "north", "limit": "3"})).value == [
            "north 0",
            "north 1",
            "north 2",
        ]
        assert "'harbour' is missing" in (await toolbox.call("list_boats", {})).error
        notes = []

        async def note(text):
            notes.append(text)

        counted = await toolbox.call("count", {"to": 3}, progress=note)
        assert counted.value == {"counted": 3, "variable": "blue", "argument": "last"}
        assert notes == ["one"]
        assert "the anchor is stuck" in (await toolbox.call("fail", {})).error
        assert (await toolbox.call("crash", {})).error == "the connection to the server was lost"
        assert (await toolbox.call("crash_soon", {})).ok, "a lost server is started again"
        await asyncio.sleep(0.5)
        assert (await toolbox.call("count", {"to": 2})).ok, "its end is noticed while nobody calls"


async def test_tools_are_limited_renamed_and_flagged(picture, plugins, script):
    flags = ["allow: [listBoats, count, sink-boat]", "prefix: sea_", "consequential: []", "background: [count]"]
    tools = over_stdio("\n      ".join(flags)) + over_stdio("allow: [listBoat]")
    async with opened(picture, plugins, tools) as toolbox:
        assert tool_names(toolbox) == ["sea_list_boats", "sea_sink_boat", "sea_count"]
        assert [tool.background for tool in toolbox.tools] == [False, False, True]
        assert (await toolbox.call("sea_sink_boat", {"name": "Ida"})).value == "Ida is gone"
        [problem] = toolbox.problems
        assert "`allow` names 'listBoat'" in str(problem)
        assert 'Did you mean "listBoats"?' in str(problem)


async def test_a_recipe_starts_only_what_the_operator_allowed(picture, plugins, script, monkeypatch):
    monkeypatch.setenv(VARIABLE, "git")
    tools = over_stdio() + '\n    - {plugin: mcp, command: touch, args: ["{folder}/made"]}'
    async with opened(picture, plugins, tools) as toolbox:
        assert not toolbox.tools
        first, second = sorted(map(str, toolbox.problems))
        assert "which is not allowed" in first
        assert f"{VARIABLE}=git,touch" in second
    assert not (picture.parent / "made").exists()


async def test_a_server_that_is_none_is_reported(picture, plugins, monkeypatch):
    monkeypatch.setenv(VARIABLE, "true,no-such-command")
    tools = """
    - {plugin: mcp, command: "true"}
    - {plugin: mcp, command: no-such-command}
    - {plugin: mcp, url: "http://127.0.0.1:1/mcp?key=s3cret"}
    """
    async with opened(picture, plugins, tools) as toolbox:
        told = sorted(map(str, toolbox.problems))
        assert "the MCP server true cannot be used" in told[0]
        assert "'no-such-command' is not installed" in told[1]
        assert "the MCP server 127.0.0.1:1 cannot be used" in told[2]
        assert "s3cret" not in str(told)


async def test_over_http_and_after_a_new_start(picture, plugins, script):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def start():
        return subprocess.Popen(
            [sys.executable, script, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    async def ready():
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    server = start()
    try:
        await ready()
        tools = f'- {{plugin: mcp, url: "http://127.0.0.1:{port}/mcp", allow: [listBoats, fail]}}'
        async with opened(picture, plugins, tools) as toolbox:
            assert not toolbox.problems
            assert tool_names(toolbox) == ["list_boats", "fail"]
            assert (await toolbox.call("list_boats", {"harbour": "north", "limit": 1})).value == ["north 0"]
            assert "the anchor is stuck" in (await toolbox.call("fail", {})).error
            server.kill()
            server.wait()
            gone = await toolbox.call("list_boats", {"harbour": "north"})
            assert gone.status == "failed"
            assert str(port) not in gone.error
            server = start()
            await ready()
            assert (await toolbox.call("list_boats", {"harbour": "south", "limit": 1})).value == ["south 0"]
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("", "needs either `command` or `url`"),
        ("url: http://a.example, args: [x]", "belong to `command`"),
        ("url: http://me:pw@a.example", "hold no password"),
        ("command: x, env: {LD_PRELOAD: x.so}", "may not set LD_PRELOAD"),
        ("command: x, env: {Path: .}", "may not set Path"),
        ("command: x, headers: {A: b}", "belong to `url`"),
    ],
)
def test_mistakes_in_a_recipe(picture, plugins, keys, words):
    with pytest.raises(AnimacyError, match=words):
        load(picture, plugins, f"- {{plugin: mcp, {keys}}}")
