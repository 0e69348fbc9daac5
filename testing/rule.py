"""What a rule is, and what a role's suite is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from animacy.testing.bench import Bench


class BrokenError(AssertionError):
    """The plugin breaks the rule; the message says how."""


class NotJudgedError(Exception):
    """The rule cannot be judged here; the message says why."""


Check = Callable[["Bench"], Awaitable[str | None]]
"""Tries the plugin and returns what is worth telling. Raises BrokenError, or NotJudgedError."""

Use = Callable[["Bench", Any], Awaitable[Sequence[BaseException]]]
"""Gives a loaded product its ordinary work, and returns the errors that a user would be told of meanwhile."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that every plugin of a role does. The name is what the report and docs/conformance.md call it.

    `may_stall` is for what happens before anybody else is there to suffer from it.
    """

    name: str
    check: Check
    may_stall: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """How the plugins of a role are handled, and the rules for them.

    Parameters:
        product: the type, or types, that `create` may return one of; `product_name` is for people.
        load, close: ready it, and let go of it, as a conversation does.
        use: gives it work; None where it has none without somebody at the other end.
        rules: what holds for this role, beyond what holds for all.
        kept: whether one product stays loaded beside those that are tried, as a server does.
        conversing: whether `use` is part of a conversation, which must not end with a server that is away for a moment.
    """

    product: type | tuple[type, ...]
    product_name: str
    load: Callable[[Bench, Any], Awaitable[None]]
    close: Callable[[Bench, Any], Awaitable[None]]
    rules: tuple[Rule, ...]
    use: Use | None = None
    kept: bool = True
    conversing: bool = False


def expect(condition: object, message: str) -> None:
    """Raise BrokenError with this message unless the condition holds."""
    if not condition:
        raise BrokenError(message)
