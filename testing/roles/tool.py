"""Sources of tools."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from animacy.core.errors import ToolError
from animacy.core.tools.contract import Tool, ToolSource
from animacy.core.tools.registry import Toolbox, no_client
from animacy.core.tools.result import Result
from animacy.core.tools.schema import check
from animacy.testing.bench import Bench
from animacy.testing.rule import NotJudgedError, Rule, Suite, expect
from animacy.testing.watch import until

CANCEL_SECONDS = 3.0
YES = "yes"
NOTHING_TO_DO = "no tool has an example; give arguments in Material.calls, and they will be called"
LONGEST_DESCRIPTION = 2000
"""Characters. The model reads it before every answer."""


class _Listed:
    """A source that has listed its tools already: it may have started a server for that."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools

    async def load(self) -> Sequence[Tool]:
        return self._tools

    async def close(self) -> None:
        pass


@dataclass
class Opened:
    """The loaded toolbox, and what a page would have got."""

    toolbox: Toolbox
    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)


async def lists(bench: Bench) -> str | None:
    """A model can call what has a name, a purpose and a schema."""
    async with _opened(bench) as opened:
        problems, tools = opened.toolbox.problems, opened.toolbox.tools
        expect(not problems, "; ".join(map(str, problems)))
        expect(tools, "it lists no tool")
        for tool in tools:
            expect(tool.description.strip(), f"{tool.name} has no description: no model knows when to use it")
            expect(len(tool.description) <= LONGEST_DESCRIPTION, f"the description of {tool.name} is too long")
            for said, arguments in tool.examples:
                try:
                    check(tool.parameters, arguments)
                except ToolError as error:
                    expect(False, f"the example {said!r} of {tool.name} does not fit its own schema: {error}")
        return ", ".join(tool.name for tool in tools)


async def does(bench: Bench) -> str | None:
    """What comes back is JSON that goes into the conversation."""
    async with _opened(bench) as opened:
        told = [f"{tool.name}: {await _done(bench, opened, tool, known)}" for tool, known in _known(bench, opened)]
    if not told:
        raise NotJudgedError(NOTHING_TO_DO)
    return "\n".join(told)


async def tells_without_page(bench: Bench) -> str | None:
    """Most conversations are on a page; a film and a telephone have none."""
    async with _opened(bench) as opened:
        for tool, known in _known(bench, opened):
            await _called(bench, opened.toolbox, tool, known)
        if not opened.told:
            raise NotJudgedError("no tool that was called sends anything to the page")
    async with _opened(bench, page=False) as opened:
        for tool, known in _known(bench, opened):
            result = await _called(bench, opened.toolbox, tool, known)
            expect(result.status == "failed" and result.error, f"without a page {tool.name} says {result.status}")
    return result.error


async def refuses(bench: Bench) -> str | None:
    """Models invent arguments. A schema that is narrow lets core refuse them with words that help."""
    judged = []
    async with _opened(bench) as opened:
        for tool in opened.toolbox.tools:
            wrong = _wrong(tool)
            if wrong is None:
                continue
            result = await opened.toolbox.call(tool.name, wrong)
            expect(result.status == "refused" and result.error, f"{tool.name} takes {wrong} and says {result.status}")
            judged.append(f"{tool.name}: {result.error}")
    if not judged:
        raise NotJudgedError("no tool has an argument of a type that could be wrong")
    return judged[0]


async def stops(bench: Bench) -> str | None:
    """The user interrupts: a call that goes on for all that holds up every other."""
    judged = False
    async with _opened(bench) as opened:
        for tool, known in _known(bench, opened):
            if tool.background or tool.consequential:
                continue
            calling = asyncio.create_task(opened.toolbox.call(tool.name, known))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            opened.toolbox.cancel()
            await asyncio.wait({calling}, timeout=CANCEL_SECONDS)
            ended = await until(lambda: not opened.toolbox.abandoned, CANCEL_SECONDS)
            expect(ended, f"{tool.name} goes on {CANCEL_SECONDS:.0f} s after it was cancelled")
            judged = True
    if not judged:
        raise NotJudgedError(NOTHING_TO_DO)
    return None


async def closes(bench: Bench) -> str | None:
    """Without a load, and twice."""
    source = bench.make()
    await source.close()
    await source.close()
    return None


@contextlib.asynccontextmanager
async def _opened(bench: Bench, *, page: bool = True) -> AsyncIterator[Opened]:
    if bench.unloaded:
        raise NotJudgedError(bench.unloaded)
    told: list[tuple[str, Mapping[str, Any]]] = []

    async def tell(kind: str, data: Mapping[str, Any]) -> None:
        told.append((kind, data))

    toolbox = Toolbox([(bench.provider.name, _Listed(bench.seen["tools"]))], tell=tell if page else no_client)
    try:
        await toolbox.load()
        yield Opened(toolbox, told)
    finally:
        await toolbox.close()


def _known(bench: Bench, opened: Opened) -> list[tuple[Tool, Mapping[str, Any]]]:
    """The tools for which it is known how they may be called."""
    known: list[tuple[Tool, Mapping[str, Any]]] = []
    for tool in opened.toolbox.tools:
        if tool.name in bench.material.calls:
            known.append((tool, bench.material.calls[tool.name]))
        elif tool.examples and not tool.consequential:
            known.append((tool, tool.examples[0][1]))
    return known


async def _called(bench: Bench, toolbox: Toolbox, tool: Tool, arguments: Mapping[str, Any]) -> Result:
    result = await toolbox.call(tool.name, arguments)
    if result.status == "asks":
        expect(result.error, f"{tool.name} asks the user first, with an empty question")
        toolbox.user_said(YES)
        result = await toolbox.call(tool.name, arguments)
    if result.error:
        bench.said.append(f"error: {result.error}")
    return result


async def _done(bench: Bench, opened: Opened, tool: Tool, arguments: Mapping[str, Any]) -> Any:
    result = await _called(bench, opened.toolbox, tool, arguments)
    expect(result.ok, f"{tool.name}({dict(arguments)}) {result.status}: {result.error}")
    return result.value


def _wrong(tool: Tool) -> dict[str, Any] | None:
    """Arguments that cannot be right: an object in the place of something plain."""
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    for name, schema in properties.items():
        if isinstance(schema, Mapping) and schema.get("type") in ("string", "integer", "number", "boolean"):
            return {name: {"no": "such thing"}}
    return None


async def _load(bench: Bench, product: Any) -> None:
    bench.seen["tools"] = await product.load()


async def _close(bench: Bench, product: Any) -> None:
    await product.close()


async def _use(bench: Bench, product: Any) -> Sequence[BaseException]:
    toolbox = Toolbox([(bench.provider.name, _Listed(bench.seen["tools"]))])
    await toolbox.load()
    if toolbox.problems:
        return toolbox.problems
    results = [await _called(bench, toolbox, tool, known) for tool, known in _known(bench, Opened(toolbox))]
    return [ToolError(result.error) for result in results if result.error]


SUITE = Suite(
    ToolSource,
    "an animacy.core.tools.contract.ToolSource",
    _load,
    _close,
    (
        Rule("lists its tools", lists),
        Rule("does what it is asked", does),
        Rule("refuses wrong arguments", refuses),
        Rule("says so where there is no page", tells_without_page),
        Rule("stops when it is cancelled", stops),
        Rule("closes at any time", closes),
    ),
    use=_use,
)
