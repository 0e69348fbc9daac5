"""Functions of an embedding program that a recipe's tools may name, where there is no server to ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from animacy.core.errors import ToolError
from animacy.core.tools.contract import Call

Handler = Callable[[Call], Awaitable[Any] | Any]

_handlers: dict[str, Handler] = {}


def register_handler(name: str, handler: Handler) -> None:
    """Let recipes of this process say `handler: NAME`. A second registration of a name takes the place of the first.

    `handler` gets the Call, whose `arguments` are checked, and returns what JSON has a form for; it raises ToolError
    with a message that may be spoken. It is async, or it runs in a thread.
    """
    _handlers[name] = handler


def unregister_handler(name: str) -> None:
    """Forget a handler, if there is one of that name."""
    _handlers.pop(name, None)


def handler_named(name: str) -> Handler:
    """The handler of that name. Raises ToolError with a remedy."""
    if name not in _handlers:
        raise ToolError(
            f"this process has no tool handler called {name!r}",
            f"Call `animacy.core.tools.handlers.register_handler({name!r}, function)` before the character starts, "
            "or give a `url`.",
        )
    return _handlers[name]
