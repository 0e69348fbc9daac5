"""Python functions as tools, and those of LangChain."""

from __future__ import annotations

import sys
import textwrap

import pytest

from tests.core.tools.sources import opened

ALLOW_VARIABLE = "ANIMACY_ALLOW_MODULES"
MODULE = '''
import asyncio, datetime, enum, time
from typing import Annotated, Any, Literal
from pydantic import BaseModel, Field
from animacy.core.errors import ToolError
from animacy.core.tools.contract import Call

class Harbour(enum.Enum):
    NORTH = "north"
    SOUTH = "south"

class Boat(BaseModel):
    name: str
    length: float = 5.0

def next_tide(harbour: Harbour, days: int = 1, *, kind: Literal["high", "low"] = "high") -> dict:
    """Tell when the next tide is,
    when somebody asks about tides.

    Args:
        harbour: Which of the harbours.
        days (int): How many days
            to look ahead.

    Returns:
        The time.
    """
    assert isinstance(harbour, Harbour)
    return {"harbour": harbour.name, "days": days, "kind": kind}

async def moor(boat: Boat, on: datetime.date | None = None, call: Call = None) -> Boat:
    """Moor a boat.

    :param boat: The boat.
    :param on: The day.
    """
    await call.progress("half way")
    await call.tell("moored", {"name": boat.name, "day": on.isoformat() if on else None})
    return boat

def closed() -> None:
    """Say no."""
    raise ToolError("The harbour is closed.")

def hangs() -> None:
    """Never return."""
    time.sleep(3600)

def untyped(x):
    """Take anything."""

def strange(x: asyncio.Event):
    """Take what has no JSON form."""

def variable(*names: str):
    """Take any number."""

def silent_one(x: int):
    return x

value = 3
'''


@pytest.fixture
def harbour(tmp_path, monkeypatch):
    name = f"harbour_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_lang.py").write_text(LANGCHAIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(ALLOW_VARIABLE, f"something.else,{name},{name}_lang")
    yield name
    for module in (name, f"{name}_lang"):
        sys.modules.pop(module, None)


LANGCHAIN = '''
from typing import Literal
from langchain_core.tools import BaseTool, ToolException, tool
from pydantic import BaseModel, Field

class Where(BaseModel):
    city: Literal["Bonn", "Rome"] = Field(description="The city.")
    days: int = 1

@tool("Weather-Of", args_schema=Where)
def weather(city, days):
    """Tell the weather."""
    return f"{days} days of sun in {city}"

@tool
async def later(n: int) -> dict:
    """Wait a little."""
    if n < 0:
        raise ToolException("Not backwards.")
    return {"n": n}

class Own(BaseTool):
    name: str = "own"
    description: str = "Do it its own way."
    def _run(self, text: str) -> str:
        return text.upper()

own = Own()
'''


async def test_hints_and_docstring_become_the_tool(picture, plugins, harbour):
    tools = f"""
    - {{plugin: python, function: "{harbour}:next_tide", examples: [{{user: Tide, arguments: {{harbour: north}}}}]}}
    - {{plugin: python, function: "{harbour}:moor", name: moor_boat, description: Moor it., timeout: 3}}
    - {{plugin: python, function: "{harbour}:closed"}}
    """
    async with opened(picture, plugins, tools) as toolbox:
        assert not toolbox.problems
        tide, moor, _ = toolbox.tools
        assert tide.description == "Tell when the next tide is, when somebody asks about tides."
        properties = tide.parameters["properties"]
        assert properties["harbour"]["enum"] == ["north", "south"]
        assert properties["harbour"]["description"] == "Which of the harbours."
        assert properties["days"] == {"default": 1, "description": "How many days to look ahead.", "type": "integer"}
        assert tide.parameters["required"] == ["harbour"]
        assert list(tide.examples) == [("Tide", {"harbour": "north"})]
        result = await toolbox.call("next_tide", {"harbour": "North", "days": "2", "kind": "low"})
        assert result.value == {"harbour": "NORTH", "days": 2, "kind": "low"}
        assert (moor.name, moor.description, moor.timeout) == ("moor_boat", "Moor it.", 3)
        assert list(moor.parameters["properties"]) == ["boat", "on"]
        progress = []

        async def note(text):
            progress.append(text)

        result = await toolbox.call("moor_boat", {"boat": {"name": "Ida"}, "on": "2026-05-01"}, progress=note)
        assert result.value == {"name": "Ida", "length": 5.0}
        assert toolbox.told == [("moored", {"name": "Ida", "day": "2026-05-01"})]
        assert progress == ["half way"]
        assert "'on' does not fit" in (await toolbox.call("moor_boat", {"boat": {"name": "Ida"}, "on": "soon"})).error
        assert (await toolbox.call("closed", {})).error == "The harbour is closed."


async def test_a_function_that_never_returns_is_left_behind(picture, plugins, harbour):
    async with opened(picture, plugins, f'- {{plugin: python, function: "{harbour}:hangs", timeout: 0.05}}') as toolbox:
        assert (await toolbox.call("hangs", {})).for_model() == {"error": "hangs took too long"}


async def test_what_cannot_be_a_tool_is_reported_with_a_remedy(picture, plugins, harbour):
    expected = {
        f"{harbour}:untyped": "the parameter 'x' of untyped has no type\n  Give it a type hint.",
        f"{harbour}:strange": "strange takes what has no JSON form",
        f"{harbour}:variable": "variable takes *names: str",
        f"{harbour}:silent_one": "silent_one has no docstring",
        f"{harbour}:value": "is no function",
        f"{harbour}:next_tyde": "has no 'next_tyde'\n  Did you mean \"next_tide\"?",
        "nobody_offers_this": "no installed package offers the tool 'nobody_offers_this'",
        "os:getcwd": ALLOW_VARIABLE,
        "something.else:x": "something.else",
    }
    tools = "\n".join(f'- {{plugin: python, function: "{function}"}}' for function in expected)
    async with opened(picture, plugins, tools) as toolbox:
        assert not toolbox.tools
        assert len(toolbox.problems) == len(expected)
        for number, words in enumerate(expected.values()):
            [problem] = [problem for problem in toolbox.problems if f"tools.{number} " in str(problem)]
            assert words in str(problem)


async def test_an_entry_point_of_an_installed_package(picture, plugins, harbour, tmp_path):
    folder = tmp_path / "tides-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tides\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        textwrap.dedent(f"""
        [animacy.tools]
        tides = {harbour}:next_tide
        gone = {harbour}:no_such
        """)
    )
    tools = "- {plugin: python, function: tides}\n- {plugin: python, function: gone}"
    async with opened(picture, plugins, tools) as toolbox:
        assert (await toolbox.call("next_tide", {"harbour": "south"})).ok
        assert "the tool 'gone' does not load: AttributeError" in str(toolbox.problems[0])


async def test_tools_of_langchain(picture, plugins, harbour):
    pytest.importorskip("langchain_core")
    tools = "\n".join(
        f'- {{plugin: python, function: "{harbour}_lang:{name}"}}' for name in ("weather", "later", "own")
    )
    async with opened(picture, plugins, tools) as toolbox:
        assert not toolbox.problems
        assert [tool.name for tool in toolbox.tools] == ["weather_of", "later", "own"]
        weather = toolbox.tools[0]
        assert weather.description == "Tell the weather."
        assert weather.parameters["properties"]["city"]["enum"] == ["Bonn", "Rome"]
        assert (await toolbox.call("weather_of", {"city": "rome"})).value == "1 days of sun in Rome"
        assert (await toolbox.call("later", {"n": "3"})).value == {"n": 3}
        assert (await toolbox.call("later", {"n": -1})).error == "Not backwards."
        assert (await toolbox.call("own", {"text": "loud"})).value == "LOUD"
