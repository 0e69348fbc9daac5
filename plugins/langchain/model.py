"""A LangChain chat model as one that speaks for a character."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from animacy.core.allowed import allowed_module
from animacy.core.errors import AnimacyError, PluginError
from animacy.core.llm.contract import Event, Message, Request, ToolCall, Usage
from animacy.core.llm.prompt import goes_on
from animacy.core.pipeline.remote import RemoteError, refused, retry_after_of
from animacy.core.tools.contract import Tool

ROLE = "llm.options"


class LangChainModel:
    """Implements `animacy.core.llm.contract.ChatModel` with any BaseChatModel.

    Parameters:
        where: "module:Class"; the module must be one that the operator allowed.
        options: arguments of the class.
        calls_tools: whether to bind tools to it.
    """

    chooses_openings = False

    def __init__(self, where: str, options: Mapping[str, Any], *, calls_tools: bool = True) -> None:
        self.name = str(options.get("model") or options.get("model_name") or where.partition(":")[2])
        self._where, self._options = where, dict(options)
        self._calls_tools = calls_tools
        self._model: BaseChatModel | None = None

    async def load(self) -> None:
        """Import and make the model. Raises PluginError when it is not allowed, missing, or refuses its options."""
        if self._model is not None:
            return
        module_name, _, class_name = self._where.partition(":")
        made = getattr(allowed_module(module_name), class_name, None)
        if not (isinstance(made, type) and issubclass(made, BaseChatModel)):
            raise PluginError(f"{self._where} is no LangChain chat model", "name a class derived from BaseChatModel")
        try:
            self._model = made(**self._options)
        except Exception as error:  # whatever a third party's constructor raises, its options are not repeated
            raise PluginError(
                f"{self._where} does not accept its options: {type(error).__name__}", "see the class's documentation"
            ) from error

    async def stream(self, request: Request, stop: threading.Event) -> AsyncIterator[Event]:
        """Write an answer; calls come when the model has ended."""
        if request.grounds.answer is not None and not (request.tools and self._calls_tools):
            yield request.grounds.answer
            return
        assert self._model is not None
        model: Any = self._model
        if request.tools and self._calls_tools:
            model = model.bind_tools([_schema(tool) for tool in request.tools])
        messages = [*request.messages, *goes_on(request.opening)]
        whole: AIMessageChunk | None = None
        pieces = 0
        try:
            async with contextlib.aclosing(model.astream(_converted(messages))) as chunks:
                async for chunk in chunks:
                    whole = chunk if whole is None else whole + chunk
                    if text := _text(chunk.content):
                        pieces += 1
                        yield text
                    if stop.is_set() or pieces >= request.max_tokens:
                        break
        except AnimacyError:
            raise
        except Exception as error:  # providers raise what they like
            raise self._error(error) from error
        if whole is not None and not stop.is_set():
            for call in whole.tool_calls:
                yield ToolCall(call["id"] or secrets.token_hex(6), call["name"], call["args"])
            yield _usage(whole, pieces, cut_off=pieces >= request.max_tokens)

    async def read(self, messages: Sequence[Message]) -> None:
        """Nothing is read ahead: it would be paid for twice."""

    async def infer(self, messages: Sequence[Message], max_tokens: int, schema: Mapping[str, Any] | None) -> str:
        """Answer once."""
        await self.load()
        assert self._model is not None
        try:
            if schema is not None:
                shaped = self._model.with_structured_output({"title": "response", **schema})
                return json.dumps(await shaped.ainvoke(_converted(messages)))
            answer = await self._model.ainvoke(_converted(messages))
        except Exception as error:  # providers raise what they like
            raise self._error(error) from error
        return _text(answer.content)

    async def close(self) -> None:
        """LangChain's models close nothing."""
        self._model = None

    def _error(self, error: Exception) -> RemoteError:
        """What happened, without what may hold a key: providers put requests into their messages."""
        response = getattr(error, "response", None)
        status = next((s for one in (error, response) for s in _statuses(one) if isinstance(s, int) and s >= 400), None)
        if status is None:
            return RemoteError(f"{self.name} failed: {type(error).__name__}", "see the provider's status and the key")
        headers = getattr(response, "headers", None)
        seconds = retry_after_of(headers) if isinstance(headers, Mapping) else None
        return refused(self.name, ROLE, status, retry_after=seconds)


def _statuses(error: object) -> list[Any]:
    """Where providers' SDKs put the HTTP status."""
    return [getattr(error, name, None) for name in ("status_code", "code", "http_status")]


def _schema(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _converted(messages: Sequence[Message]) -> list[BaseMessage]:
    return [_message(message) for message in messages]


def _message(message: Message) -> BaseMessage:
    content = message.get("content") or ""
    match message["role"]:
        case "system":
            return SystemMessage(content)
        case "tool":
            return ToolMessage(content, tool_call_id=message.get("tool_call_id", ""))
        case "assistant":
            calls = [
                {
                    "id": call["id"],
                    "name": call["function"]["name"],
                    "args": json.loads(call["function"]["arguments"] or "{}"),
                    "type": "tool_call",
                }
                for call in message.get("tool_calls", ())
            ]
            return AIMessage(content, tool_calls=calls)
    return HumanMessage(content)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(
        part if isinstance(part, str) else part.get("text", "") if part.get("type") == "text" else ""
        for part in content or ()
    )


def _usage(message: AIMessageChunk, pieces: int, *, cut_off: bool) -> Usage:
    told = message.usage_metadata
    if told is None:
        return Usage(0, 0, pieces, cut_off)
    cached = (told.get("input_token_details") or {}).get("cache_read") or 0
    return Usage(told["input_tokens"], cached, told["output_tokens"], cut_off)
