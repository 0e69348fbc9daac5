"""A GGUF model as one that speaks for a character, and chooses tools though it never learnt to."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from animacy.core.llm.contract import Event, Message, Request, ToolCall, Usage
from animacy.core.shared import Share
from animacy.core.tools.contract import Tool
from animacy.plugins.llama.grammar import GOES_ON, begins_with, matching, one_of
from animacy.plugins.llama.runtime import Runtime
from animacy.plugins.llama.tools import NONE, question

ARGUMENT_TOKENS = 160
NAME_TOKENS = 24
HOLDS_FROM = 0.5
"""How sure it must be of that, from 0 to 1."""
HOLDS = "Do the passages answer this? yes or no"


class LlamaModel:
    """Implements `animacy.core.llm.contract.ChatModel`.

    Small models call tools at the wrong time, or in a form of their own, when they are left to it. So for every request
    of the user it is asked aside first which tool it wants, held to their names by a grammar (`none` is one token), and
    then for the arguments, held to their schema; or it writes the answer.

    Parameters:
        runtime: the model, shared with other conversations.
        name: of the model.
        prefix: how many messages every request begins with.
        instructions: what is read before it chooses tools.
        temperature, top_p, seed: sampling.
    """

    chooses_openings = True

    def __init__(
        self,
        runtime: Share[Runtime],
        name: str,
        *,
        prefix: int = 0,
        instructions: Sequence[Message] = (),
        temperature: float = 0.4,
        top_p: float = 0.9,
        seed: int | None = None,
    ) -> None:
        self.name = name
        self._runtime = runtime
        self._prefix, self._instructions = prefix, tuple(instructions)
        self._sampling: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "repeat_penalty": 1.05}
        if seed is not None:
            self._sampling["seed"] = seed

    async def load(self) -> None:
        """Take a share in the model with the persona read, loading it if nobody has. Raises ModelError."""
        await self._runtime.load()

    async def stream(self, request: Request, stop: threading.Event) -> AsyncIterator[Event]:
        """Choose a tool, or write an answer."""
        messages, grounds = list(request.messages), request.grounds
        if grounds.answer is not None and grounds.unknown is None:  # known for sure, so that no tool is needed
            yield grounds.answer
            return
        if request.tools and messages[-1]["role"] == "user":
            call = await self._choose(messages, request.tools, stop)
            if call is not None or stop.is_set():
                if call is not None:
                    yield call
                return
        if grounds.answer is not None:
            yield grounds.answer
            return
        options: dict[str, Any] = {**self._sampling, "max_tokens": request.max_tokens}
        if grounds.unknown is not None:
            if grounds.doubtful and not await self._holds_answer(messages, stop):
                if not stop.is_set():
                    yield grounds.unknown
                return
            options["temperature"] = 0.0  # facts are not for choosing among
        if request.opening:
            messages.append({"role": "assistant", "content": request.opening})
            options["grammar"] = GOES_ON
        elif request.choices:
            options["grammar"] = begins_with(request.choices)
        async for event in self._write(messages, stop, options):
            yield event

    async def read(self, messages: Sequence[Message]) -> None:
        """Compute a conversation so far."""
        async for _ in self._write(messages, threading.Event(), {"max_tokens": 1}):
            pass

    async def infer(self, messages: Sequence[Message], max_tokens: int, schema: Mapping[str, Any] | None) -> str:
        """Answer once."""
        options: dict[str, Any] = {**self._sampling, "max_tokens": max_tokens}
        if schema is not None:
            options["response_format"] = _json(schema)
        return await self._text(messages, threading.Event(), options)

    async def close(self) -> None:
        """Give the share in the model back."""
        self._runtime.release()

    async def _choose(self, messages: list[Message], tools: Sequence[Tool], stop: threading.Event) -> ToolCall | None:
        names = [tool.name for tool in tools]
        asked = [*self._instructions, *question(messages[self._prefix :], names)]
        sure: dict[str, Any] = {"temperature": 0.0}
        either = one_of([NONE, *names])
        chosen = await self._text(asked, stop, {**sure, "grammar": either, "max_tokens": NAME_TOKENS})
        tool = next((tool for tool in tools if tool.name == chosen.strip()), None)
        if tool is None or stop.is_set():
            return None
        arguments: dict[str, Any] = {}
        if tool.parameters.get("properties"):
            asked.append({"role": "assistant", "content": f"{tool.name} "})
            form = {**sure, "grammar": matching(tool.parameters), "max_tokens": ARGUMENT_TOKENS}
            try:
                arguments = json.loads(await self._text(asked, stop, form))
            except ValueError:
                # Cut off: the tool itself says what it misses.
                arguments = {}
        return ToolCall(secrets.token_hex(6), tool.name, arguments)

    async def _holds_answer(self, messages: list[Message], stop: threading.Event) -> bool:
        """Whether the notes before the user's words hold the answer: asked, a small model is able to say so."""
        asked = [*messages, {"role": "system", "content": HOLDS}]
        runtime = self._runtime.value
        chance = await self._runtime.run(lambda: runtime.chance(asked, "yes", "no", stop))
        return chance is not None and chance >= HOLDS_FROM

    async def _text(self, messages: Sequence[Message], stop: threading.Event, options: dict[str, Any]) -> str:
        return "".join([text async for text in self._write(messages, stop, options) if isinstance(text, str)])

    async def _write(
        self, messages: Sequence[Message], stop: threading.Event, options: dict[str, Any]
    ) -> AsyncIterator[str | Usage]:
        loop, runtime = asyncio.get_running_loop(), self._runtime.value
        arrived: asyncio.Queue[str | None] = asyncio.Queue()

        def on_text(text: str) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, text)

        def job() -> Usage | None:
            return None if stop.is_set() else runtime.write(messages, on_text, stop, **options)

        writing = asyncio.ensure_future(self._runtime.run(job))
        writing.add_done_callback(lambda _: arrived.put_nowait(None))
        try:
            while (text := await arrived.get()) is not None:
                yield text
            if (usage := await writing) is not None:
                yield usage
        finally:
            if not writing.done():
                stop.set()
                writing.cancel()


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "response", "schema": dict(schema)}}
