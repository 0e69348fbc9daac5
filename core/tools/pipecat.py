"""A toolbox for any Pipecat LLM service: what it may call, and what becomes of a call."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    FunctionCallResultProperties,
    LLMContextUserTurnFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frameworks.rtvi.frames import RTVISendTextFrame
from pipecat.services.llm_service import FunctionCallParams, LLMService

from animacy.core.tools.contract import Tool
from animacy.core.tools.phrases import phrases
from animacy.core.tools.registry import Progress, Toolbox, no_progress
from animacy.core.tools.result import Result
from animacy.core.tools.wording import worded

FILLER_AFTER = 0.7
"""Seconds after which a call counts as slow, and something is said meanwhile."""
MAX_PROGRESS = 5
"""Notes on its progress that one call puts into the conversation."""
MAX_RECORDS = 200


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call for the report: `started` in seconds since the epoch, `arguments` as the model gave them."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    result: Result
    started: float
    seconds: float
    background: bool = False


@dataclass(slots=True)
class _Batch:
    """The calls of one response of the model: it answers once, when none of them is under way any more.

    `filled` tells that something was said meanwhile, by the model itself or as a filler.
    """

    waiting: set[str]
    filled: bool
    wants_answer: bool = False

    def finish(self, id_: str, wants_answer: bool) -> bool:
        """Note an end; whether the model is to answer now."""
        self.waiting.discard(id_)
        self.wants_answer |= wants_answer
        return self.wants_answer and not self.waiting


class ToolBridge:
    """Connects one loaded toolbox with one LLM service and its context.

    Parameters:
        toolbox: loaded.
        language: BCP 47 tag, for the line that is said while a slow tool without a `filler` of its own runs.
        on_call: told of every call that ended.
        filler_after: seconds until that line; it is left out for a silent tool, and where the model has said something
            itself before it called.

    A call that fails, is unknown or lacks arguments is answered by the model like any other: it reads what went wrong.
    The model stays silent after calls of silent tools that went well, of tools with a `reply`, and where the user is to
    be asked first: the question is said as it is.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        *,
        language: str = "en",
        on_call: Callable[[CallRecord], None] | None = None,
        filler_after: float = FILLER_AFTER,
    ) -> None:
        self._toolbox, self._on_call, self._filler_after = toolbox, on_call, filler_after
        self._tools = {tool.name: tool for tool in toolbox.tools}
        self._filler = phrases(language).filler
        self._batches: dict[str, _Batch] = {}
        self._spoke = False  # the model, in this response
        self._records: deque[CallRecord] = deque(maxlen=MAX_RECORDS)

    @property
    def schema(self) -> ToolsSchema:
        """The tools for an LLMContext."""
        return ToolsSchema([_function(tool) for tool in self._tools.values()])

    @property
    def records(self) -> Sequence[CallRecord]:
        """The calls that ended, the oldest first; the latest MAX_RECORDS of them."""
        return tuple(self._records)

    def take_records(self) -> Sequence[CallRecord]:
        """The calls that ended since this was last asked."""
        taken = tuple(self._records)
        self._records.clear()
        return taken

    def connect(self, llm: LLMService[Any], context: LLMContext) -> None:
        """Let `llm` call the tools and `context` list them. Does nothing when there are none."""
        if self._tools:
            context.set_tools(self.schema)
            self.register(llm)

    def register(self, llm: LLMService[Any]) -> None:
        """Answer every function call of a service, those of names that it makes up too, and hear what the user says."""
        llm.register_function(None, self._handle, cancel_on_interruption=True)
        for tool in self._tools.values():
            if tool.background:
                llm.register_function(tool.name, self._handle, cancel_on_interruption=False)
        llm.add_event_handler("on_before_process_frame", self._hear)
        llm.add_event_handler("on_before_push_frame", self._overhear)
        llm.add_event_handler("on_function_calls_started", self._started)
        llm.add_event_handler("on_function_calls_cancelled", self._cancelled)

    async def _hear(self, _: LLMService[Any], frame: Frame) -> None:
        # What the user said or typed comes by here before the model is asked to answer it; the context may hold more
        # in the user's name, such as documents, and that must not confirm anything.
        if isinstance(frame, LLMContextUserTurnFrame | RTVISendTextFrame):
            self._toolbox.user_said(frame.text)

    async def _overhear(self, _: LLMService[Any], frame: Frame) -> None:
        if isinstance(frame, LLMFullResponseStartFrame):
            self._spoke = False
        elif isinstance(frame, LLMTextFrame) and frame.text.strip():
            self._spoke = True

    async def _started(self, _: LLMService[Any], calls: Sequence[FunctionCallFromLLM]) -> None:
        waited_for = [call.tool_call_id for call in calls if not self._is_background(call.function_name)]
        batch = _Batch(set(waited_for), self._spoke)
        self._batches.update(dict.fromkeys(waited_for, batch))

    async def _cancelled(self, _: LLMService[Any], calls: Sequence[FunctionCallFromLLM]) -> None:
        for call in calls:  # some may not even have begun
            batch = self._batches.pop(call.tool_call_id, None)
            if batch is not None:
                batch.finish(call.tool_call_id, False)

    async def _handle(self, params: FunctionCallParams) -> None:
        name, id_ = params.function_name, params.tool_call_id
        tool, background = self._tools.get(name), self._is_background(name)
        # A batch of its own for a background call: nobody waits for it.
        batch = self._batches.get(id_) or _Batch({id_}, self._spoke)
        started, began = time.time(), time.monotonic()
        filler = asyncio.create_task(self._fill(params, tool, batch), name=f"filler {name}")
        result = Result("cancelled", error="it was interrupted")
        try:
            progress = _progress_of(params) if background else no_progress
            result = await self._toolbox.call(name, params.arguments, id=id_, progress=progress)
        finally:
            filler.cancel()
            self._batches.pop(id_, None)
            words = _words(tool, params.arguments, result)
            # A silent tool that went well needs no words, and neither does what the user has cut off.
            wordless = result.status == "cancelled" or (result.ok and tool is not None and tool.silent)
            answer = batch.finish(id_, not wordless and words is None)
            seconds = round(time.monotonic() - began, 3)
            self._note(CallRecord(id_, name, params.arguments, result, started, seconds, background))
        # Told explicitly: Pipecat's own rule counts background calls among those to wait for, and a silent one that
        # ends last would keep the model from answering the others.
        await params.result_callback(result.for_model(), properties=FunctionCallResultProperties(run_llm=answer))
        if words is not None:
            await params.llm.push_frame(TTSSpeakFrame(words))

    async def _fill(self, params: FunctionCallParams, tool: Tool | None, batch: _Batch) -> None:
        if tool is None or (tool.silent and not tool.filler):
            return
        await asyncio.sleep(self._filler_after)
        if not batch.filled:
            batch.filled = True
            await params.llm.push_frame(TTSSpeakFrame(tool.filler or self._filler, append_to_context=False))

    def _note(self, record: CallRecord) -> None:
        self._records.append(record)
        if self._on_call is not None:
            self._on_call(record)

    def _is_background(self, name: str) -> bool:
        tool = self._tools.get(name)
        return tool is not None and tool.background


def _function(tool: Tool) -> FunctionSchema:
    properties, required = tool.parameters["properties"], list(tool.parameters.get("required", ()))
    return FunctionSchema(tool.name, tool.description, dict(properties), required)


def _words(tool: Tool | None, arguments: Mapping[str, Any], result: Result) -> str | None:
    """What is said about a call without asking the model, which might say that more was done than was."""
    if result.status == "asks":
        return result.error
    if not result.ok or tool is None or tool.reply is None or tool.silent:
        return None
    returned = result.value if isinstance(result.value, Mapping) else {}
    return worded(tool.reply, {**arguments, **returned})


def _progress_of(params: FunctionCallParams) -> Progress:
    """Puts notes on a call into the conversation, for the model to know when it is asked."""
    left = MAX_PROGRESS

    async def progress(text: str) -> None:
        nonlocal left
        if left > 0 and text:
            left -= 1
            properties = FunctionCallResultProperties(run_llm=False, is_final=False)
            await params.result_callback({"progress": text[:200]}, properties=properties)

    return progress
