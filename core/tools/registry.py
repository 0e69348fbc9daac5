"""Every tool of a character in one place, and the one way in which they are called."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loguru import logger

from animacy.core.errors import AnimacyError, PluginError, ToolError
from animacy.core.plugins import suggestion
from animacy.core.recipe_loader import LoadedRecipe
from animacy.core.tools.confirmation import Confirmation, question
from animacy.core.tools.contract import NAME_PATTERN, Call, Tool, ToolSource
from animacy.core.tools.result import Result, plain
from animacy.core.tools.schema import check, flat

Tell = Callable[[str, Mapping[str, Any]], Awaitable[None]]
Progress = Callable[[str], Awaitable[None]]

MAX_ERROR = 300
"""Longest error that is spoken, in characters."""
ASK = "Nothing is done yet. Ask the user whether to go on, and after a yes make the same call again."


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one toolbox. Times in seconds.

    `abandoned` is how many calls may hang after they were cancelled before nothing is called any more.
    """

    foreground: int = 8
    background: int = 4
    abandoned: int = 8
    load: float = 20.0
    close: float = 5.0


async def no_client(type_: str, data: Mapping[str, Any]) -> None:
    """The `tell` of a conversation without a page."""
    raise ToolError("there is no page that could show it")


async def no_progress(text: str) -> None:
    """The `progress` of a call that nobody follows."""


class Toolbox:
    """The tools of one conversation. Belongs to one event loop.

    `sources` are labelled by where they come from ("tools.0 (mcp)"); `tell` sends a message to the visitor's client.
    A source that fails is in `problems` after `load`, and the others work. `call` never raises, whatever a tool does;
    it is cancelled with whoever awaits it, unless the tool is a background one.
    """

    def __init__(
        self,
        sources: Sequence[tuple[str, ToolSource]],
        *,
        tell: Tell = no_client,
        language: str = "en",
        limits: Limits = Limits(),
        problems: Sequence[AnimacyError] = (),
    ) -> None:
        self.problems: list[AnimacyError] = list(problems)
        self._sources, self._tell, self._limits = list(sources), tell, limits
        self._tools: dict[str, Tool] = {}
        self._confirmation = Confirmation(language)
        self._running: dict[asyncio.Task[Result], _Running] = {}
        self._cancelled: set[asyncio.Task[Result]] = set()
        self._closed = False

    @classmethod
    def of(cls, loaded: LoadedRecipe, *, tell: Tell = no_client) -> Toolbox:
        """The toolbox of a recipe; a source that cannot be made is one of its `problems`."""
        sources: list[tuple[str, ToolSource]] = []
        problems: list[AnimacyError] = []
        for number, choice in enumerate(loaded.tools):
            label = f"tools.{number} ({choice.provider.name})"
            try:
                source = loaded.create(choice)
            except AnimacyError as error:
                problems.append(_labelled(label, error))
            else:
                sources.append((label, source))
        return cls(sources, tell=tell, language=loaded.recipe.character.language, problems=problems)

    @property
    def tools(self) -> Sequence[Tool]:
        """What the character can do, in the order of its recipe."""
        return tuple(self._tools.values())

    @property
    def running(self) -> int:
        """Calls under way."""
        return len(self._running)

    @property
    def abandoned(self) -> int:
        """Calls that were cancelled and have not ended for all that."""
        return len(self._cancelled)

    async def load(self) -> None:
        """Ask every source for its tools, all at the same time."""
        listed = await asyncio.gather(*(self._load_one(label, source) for label, source in self._sources))
        for (label, _), tools in zip(self._sources, listed, strict=True):
            for tool in tools:
                try:
                    self._add(tool)
                except ToolError as error:
                    self._report(_labelled(label, error))

    def user_said(self, text: str) -> None:
        """A turn of the user, before the model answers it: the yes or no to a consequential call."""
        self._confirmation.user_said(text)

    async def call(
        self, name: str, arguments: Any, *, id: str | None = None, progress: Progress = no_progress
    ) -> Result:
        """Call a tool and tell how it went. Raises nothing but CancelledError, when who awaits it is cancelled."""
        began = time.monotonic()
        try:
            tool = self._find(name)
            checked = check(tool.parameters, arguments)
            self._make_room(tool)
        except ToolError as error:
            return Result("refused", error=_speakable(error))
        if tool.consequential and not self._confirmation.admits(name, checked):
            wanted = (
                "Nothing was done yet. Ask the user whether to go on; after a yes call it again, arguments unchanged."
            )
            return Result("asks", wanted, question(tool, checked))
        call = Call(id or uuid.uuid4().hex[:12], name, checked, self._tell, progress)
        result = await self._run(tool, call)
        return replace(result, seconds=round(time.monotonic() - began, 3))

    def cancel(self) -> int:
        """Cancel the calls that the conversation waits for, as a user who interrupts wants it; how many there were."""
        tasks = [task for task, running in self._running.items() if not running.tool.background]
        for task in tasks:
            self._drop(task)
        return len(tasks)

    async def close(self) -> None:
        """Cancel every call and close every source. May be called twice."""
        self._closed = True
        tasks = [*self._running, *self._cancelled]
        for task in list(self._running):
            self._drop(task)
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.close)
        sources, self._sources = self._sources, []
        await asyncio.gather(*(self._close_one(label, source) for label, source in sources))

    async def _load_one(self, label: str, source: ToolSource) -> Sequence[Tool]:
        try:
            async with asyncio.timeout(self._limits.load):
                tools = list(await source.load())
            for tool in tools:
                if not isinstance(tool, Tool):
                    raise TypeError(f"it lists a {type(tool).__name__}, not a Tool")
            return tools
        except AnimacyError as error:
            self._report(_labelled(label, error))
        except TimeoutError:
            self._report(ToolError(f"{label} did not start in time", "Check that what it connects to is running."))
        except Exception as error:  # a third party's code may fail in any way, and must not take the others with it
            self._report(PluginError(f"{label} failed: {type(error).__name__}: {error}", "Update or remove it."))
        return ()

    async def _close_one(self, label: str, source: ToolSource) -> None:
        try:
            async with asyncio.timeout(self._limits.close):
                await source.close()
        except Exception as error:  # closing goes on whatever a third party's code does
            logger.warning(f"{label} did not close: {type(error).__name__}: {error}")

    def _report(self, problem: AnimacyError) -> None:
        self.problems.append(problem)
        logger.warning(str(problem))

    def _add(self, tool: Tool) -> None:
        if not re.fullmatch(NAME_PATTERN, str(tool.name)):
            raise ToolError(
                f"a tool cannot be called {tool.name!r}", "Use lower case letters, digits and underscores, 64 at most."
            )
        if tool.name in self._tools:
            raise ToolError(f"another tool is called {tool.name!r} already", "Rename one of the two.")
        try:
            self._tools[tool.name] = replace(tool, parameters=flat(tool.parameters))
        except ToolError as error:
            raise ToolError(f"{tool.name}: {error.args[0]}", "Mend the schema where the tool is defined.") from None

    def _find(self, name: str) -> Tool:
        if self._closed:
            raise ToolError("the conversation is over")
        tool = self._tools.get(name)
        if tool is None:
            raise ToolError(f"there is no tool called {str(name)[:64]!r}. {suggestion(str(name), self._tools)}")
        return tool

    def _make_room(self, tool: Tool) -> None:
        beside = sum(running.tool.background == tool.background for running in self._running.values())
        if beside >= (self._limits.background if tool.background else self._limits.foreground):
            raise ToolError("too many things are under way already; wait for one of them")
        if self.abandoned >= self._limits.abandoned:
            raise ToolError("too many earlier calls still hang; tools do not work at the moment")

    async def _run(self, tool: Tool, call: Call) -> Result:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(_guarded(tool, call), name=f"tool {tool.name}")
        late = Result("timed out", error=f"{_spoken(tool)} took too long")
        outcome: asyncio.Future[Result] = loop.create_future()
        timer = loop.call_later(tool.timeout, self._drop, task, late)
        self._running[task] = _Running(tool, outcome, timer)
        task.add_done_callback(self._ended)
        try:
            return await outcome
        except asyncio.CancelledError:
            if not tool.background:
                self._drop(task)
            raise

    def _drop(self, task: asyncio.Task[Result], result: Result | None = None) -> None:
        """Cancel a call without waiting for it: one that does not end for all that is counted."""
        running = self._running.pop(task, None)
        if running is None:
            return
        running.timer.cancel()
        running.settle(result or Result("cancelled", error=f"{_spoken(running.tool)} was cancelled"))
        if not task.done():
            self._cancelled.add(task)
            task.cancel()

    def _ended(self, task: asyncio.Task[Result]) -> None:
        self._cancelled.discard(task)
        self._drop(task, None if task.cancelled() or task.exception() else task.result())


@dataclass(frozen=True, slots=True)
class _Running:
    tool: Tool
    outcome: asyncio.Future[Result]
    timer: asyncio.TimerHandle

    def settle(self, result: Result) -> None:
        """Tell who waits; nobody may be."""
        if not self.outcome.done():
            self.outcome.set_result(result)


async def _guarded(tool: Tool, call: Call) -> Result:
    """The call with whatever it raises turned into a result."""
    try:
        return Result("done", plain(await tool.run(call)))
    except ToolError as error:
        return Result("failed", error=_speakable(error))
    except (Exception, SystemExit) as error:  # a tool may fail in any way, and must not take the conversation with it
        logger.opt(exception=error).warning(f"the tool {tool.name} failed")
        return Result("failed", error=f"{_spoken(tool)} did not work")


def _speakable(error: ToolError) -> str:
    return str(error.args[0])[:MAX_ERROR]


def _spoken(tool: Tool) -> str:
    return tool.name.replace("_", " ")


def _labelled(label: str, error: AnimacyError) -> AnimacyError:
    return type(error)(f"{label}: {error.args[0]}", error.remedy)
