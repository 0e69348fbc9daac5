"""What a language model must offer to speak for a character."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from animacy.core.tools.contract import Tool

Message = dict[str, Any]
"""OpenAI's form: `role` is system, user, assistant or tool; `content` text, or parts with a picture; an assistant's
`tool_calls` and the `tool_call_id` of a tool's result."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. `cached` of the prompt's were computed before; `cut_off` when the limit ended it."""

    prompt: int
    cached: int
    written: int
    cut_off: bool


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool to be used. `arguments` were not checked yet."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is known of an answer before it is written.

    Parameters:
        answer: what is said when no tool is used; the model need not be asked.
        unknown: what is said when the notes do not hold the answer.
        doubtful: whether they may well not hold it. A model that would make one up is asked first.
    """

    answer: str | None = None
    unknown: str | None = None
    doubtful: bool = False


NO_GROUNDS = Grounds()


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to be written.

    Parameters:
        messages: all that is read, beginning with what all requests of the character begin with.
        opening: the words with which the answer has begun already; they were said and are not to be written again.
        choices: the answer begins with one of these, if the model can be held to it.
        tools: what may be used.
        grounds: what is known of the answer.
        max_tokens: the answer is cut off after so many.
    """

    messages: Sequence[Message]
    opening: str | None = None
    choices: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    grounds: Grounds = NO_GROUNDS
    max_tokens: int = 96


Event = str | ToolCall | Usage
"""What comes while an answer is written: texts as they are, calls when they are whole, and the tokens at the end."""


@runtime_checkable
class ChatModel(Protocol):
    """A language model for one character. Belongs to one event loop, and never blocks it."""

    name: str
    """Of the model, for metrics and reports."""

    chooses_openings: bool
    """Whether an answer can be held to begin with one of several texts."""

    async def load(self) -> None:
        """Load or connect. May be called again. Raises AnimacyError with a remedy."""
        ...

    def stream(self, request: Request, stop: threading.Event) -> AsyncIterator[Event]:
        """Write an answer. Ends soon after `stop` is set; stops computing when the iterator is closed.

        Raises AnimacyError when the request is refused or the connection fails.
        """
        ...

    async def read(self, messages: Sequence[Message]) -> None:
        """Read what the next request will begin with, if reading ahead saves time later."""
        ...

    async def infer(self, messages: Sequence[Message], max_tokens: int, schema: Mapping[str, Any] | None) -> str:
        """Answer once, outside the conversation, as JSON of a schema if one is given. Raises AnimacyError."""
        ...

    async def close(self) -> None:
        """Let go of it. May be called twice."""
        ...


@runtime_checkable
class Remote(Protocol):
    """A model on a server that can be asked whether it is there."""

    async def check(self) -> None:
        """Ask, for nothing that costs. Raises RemoteError when it would not answer a request now."""
        ...
