"""One definition of a tool, whatever it comes from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Arguments = Mapping[str, Any]

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
"""How a tool may be called."""


@dataclass(slots=True)
class Call:
    """One use of a tool: its checked arguments, and ways to the visitor it is made for.

    `tell` sends a typed message to the visitor's client and raises ToolError when there is none; `progress` lets the
    character know how far a long call is, and does nothing for a call that the conversation waits for.
    """

    id: str
    tool: str
    arguments: Arguments
    tell: Callable[[str, Mapping[str, Any]], Awaitable[None]]
    progress: Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Tool:
    """Something the character can do.

    Parameters:
        name: lower case letters, digits and underscores; unique within a character.
        description: for the model: when to use it, and what for.
        parameters: JSON Schema of the arguments, an object. Types are string (with enum or pattern), integer, number,
            boolean, array and object. The toolbox puts local references in place, so that what it lists has none.
        run: does it. Returns what goes back into the conversation: text, or anything JSON has a form for. Raises
            ToolError with a message that may be spoken. Is cancelled when the user interrupts, but not in the
            background.
        timeout: seconds after which it is given up.
        background: the conversation goes on meanwhile, and the result is told when it is there.
        consequential: the user is asked first.
        silent: the character says nothing about its result (a picture shown, a page scrolled).
        filler: said when it takes longer than a moment.
        reply: said when it went well, instead of words of the model; `{name}` is an argument, or a key of what `run`
            returned. The model speaks when there is nothing to put there.
        question: what the user is asked before a consequential call, with arguments in the same way.
        examples: things a user might say, and the arguments that follow; for models that learn by example.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Call], Awaitable[Any]]
    timeout: float = 10.0
    background: bool = False
    consequential: bool = False
    silent: bool = False
    filler: str | None = None
    reply: str | None = None
    question: str | None = None
    examples: Sequence[tuple[str, Arguments]] = field(default=())


@runtime_checkable
class ToolSource(Protocol):
    """Where tools come from: a section of a recipe, made by a plugin. Belongs to one event loop."""

    async def load(self) -> Sequence[Tool]:
        """Connect if need be, and list the tools. Raises AnimacyError with a remedy."""
        ...

    async def close(self) -> None:
        """Let go of connections. May be called twice, and without load."""
        ...
