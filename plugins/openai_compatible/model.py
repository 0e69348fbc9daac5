"""A server with OpenAI's chat completions as a model that speaks for a character."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import openai
from openai import AsyncOpenAI

from animacy.core.llm.contract import Event, Message, Request, ToolCall, Usage
from animacy.core.llm.prompt import goes_on
from animacy.core.pipeline.remote import RemoteError, broken, refused, retry_after_of, unreachable
from animacy.core.tools.contract import Tool

SERVICE, ROLE = "the language model's server", "llm"

RETRY_SECONDS = 0.25
PATIENCE_SECONDS = 2.0
"""A server that asks to be left alone for longer is not waited for: the user would be."""

FAILURES = (openai.OpenAIError, httpx.HTTPError, ValueError, TypeError, AttributeError)
"""What the SDK raises when a request fails, and what a malformed answer leads to in it and here."""


@dataclass(slots=True)
class _Call:
    """A call that arrives in pieces."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class OpenAIModel:
    """Implements `animacy.core.llm.contract.ChatModel` through the official SDK.

    Parameters:
        name: the server's name for the model.
        base_url, api_key: where it is, and what it wants to see.
        temperature: None for the server's default.
        timeout: seconds without a word.
        calls_tools: whether to offer tools.
    """

    chooses_openings = False

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str,
        *,
        temperature: float | None = None,
        timeout: float = 20.0,
        calls_tools: bool = True,
    ) -> None:
        self.name = name
        self._url, self._key, self._timeout = base_url, api_key, timeout
        self._temperature, self._calls_tools = temperature, calls_tools
        self._client: AsyncOpenAI | None = None

    async def load(self) -> None:
        """Make ready; the server is asked when there is something to answer."""
        if self._client is None:
            self._client = AsyncOpenAI(base_url=self._url, api_key=self._key, timeout=self._timeout, max_retries=0)

    async def check(self) -> None:
        """See whether the server lists its models, which is free. One that keeps no list is taken to be well."""
        await self.load()
        assert self._client is not None
        try:
            await self._client.models.list()
        except openai.NotFoundError:
            return
        except FAILURES as error:
            raise self._error(error) from error

    async def stream(self, request: Request, stop: threading.Event) -> AsyncIterator[Event]:
        """Write an answer; calls come when the model has ended."""
        if request.grounds.answer is not None and not (request.tools and self._calls_tools):
            yield request.grounds.answer
            return
        options = self._options(request.max_tokens)
        if request.tools and self._calls_tools:
            options["tools"] = [_schema(tool) for tool in request.tools]
        messages = [*request.messages, *goes_on(request.opening)]
        calls: dict[int, _Call] = {}
        usage: Usage | None = None
        finish: str | None = None
        began = False
        try:
            answer = await self._completions(messages, stream=True, stream_options={"include_usage": True}, **options)
            began = True
            async with answer:
                async for chunk in answer:
                    for choice in chunk.choices:
                        finish = choice.finish_reason or finish
                        _collect(calls, choice.delta.tool_calls or ())
                        if choice.delta.content:
                            yield choice.delta.content
                    if chunk.usage is not None:
                        usage = _usage(chunk.usage, cut_off=finish == "length")
                    if stop.is_set():
                        return
        except FAILURES as error:
            raise self._error(error, began=began) from error
        for call in calls.values():
            yield ToolCall(call.id or secrets.token_hex(6), call.name, _arguments(call.arguments))
        if usage is not None:
            yield usage

    async def read(self, messages: Sequence[Message]) -> None:
        """Nothing is read ahead: it would be paid for twice."""

    async def infer(self, messages: Sequence[Message], max_tokens: int, schema: Mapping[str, Any] | None) -> str:
        """Answer once."""
        options = self._options(max_tokens)
        if schema is not None:
            form = {"name": "response", "schema": dict(schema)}
            options["response_format"] = {"type": "json_schema", "json_schema": form}
        try:
            answer = await self._completions(messages, **options)
        except FAILURES as error:
            raise self._error(error) from error
        return answer.choices[0].message.content or ""

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _options(self, max_tokens: int) -> dict[str, Any]:
        options: dict[str, Any] = {"max_tokens": max_tokens}
        if self._temperature is not None:
            options["temperature"] = self._temperature
        return options

    async def _completions(self, messages: Sequence[Message], **options: Any) -> Any:
        """Ask, and once more if that may help soon: more is not to be asked of somebody who waits for an answer."""
        await self.load()
        assert self._client is not None
        asked: dict[str, Any] = {"model": self.name, "messages": list(messages), **options}
        try:
            return await self._client.chat.completions.create(**asked)
        except openai.APITimeoutError:
            raise
        except (openai.RateLimitError, openai.APIConnectionError, openai.InternalServerError) as error:
            response = getattr(error, "response", None)
            seconds = retry_after_of(response.headers) if response is not None else None
            if seconds is not None and seconds > PATIENCE_SECONDS:
                raise
            await asyncio.sleep(RETRY_SECONDS if seconds is None else seconds)
            return await self._client.chat.completions.create(**asked)

    def _error(self, error: Exception, *, began: bool = False) -> RemoteError:
        """What happened and what to do, without the request: a key may be in it. `began`: an answer was on its way."""
        match error:
            case openai.NotFoundError():
                return refused(SERVICE, ROLE, 404, detail=f"it has no model {self.name}")
            case openai.APIStatusError():
                return refused(SERVICE, ROLE, error.status_code, retry_after=retry_after_of(error.response.headers))
            case openai.APITimeoutError() | httpx.TimeoutException():
                return unreachable(SERVICE, ROLE, self._url, TimeoutError())
            case openai.APIConnectionError() if not began:
                return unreachable(SERVICE, ROLE, self._url)
            case openai.APIConnectionError() | httpx.TransportError():
                return broken(SERVICE)
            case openai.APIError():
                return broken(SERVICE, detail="it reported an error in its answer")
        return broken(SERVICE, detail="its answer cannot be read")


def _schema(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _collect(calls: dict[int, _Call], pieces: Sequence[Any]) -> None:
    for piece in pieces:
        call = calls.setdefault(piece.index, _Call())
        call.id = piece.id or call.id
        if piece.function is not None:
            call.name += piece.function.name or ""
            call.arguments += piece.function.arguments or ""


def _arguments(text: str) -> Mapping[str, Any]:
    try:
        arguments = json.loads(text or "{}")
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def _usage(told: Any, *, cut_off: bool) -> Usage:
    details = told.prompt_tokens_details
    cached = (details.cached_tokens if details is not None else None) or 0
    return Usage(told.prompt_tokens, cached, told.completion_tokens, cut_off)
