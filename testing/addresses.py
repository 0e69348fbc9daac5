"""The addresses of servers among a plugin's settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from animacy.core.provider import Settings

NOWHERE = "127.0.0.1:9"
"""The discard port, where nobody listens."""


def addresses(given: Any) -> Iterator[str]:
    """Every address in plain settings, however deep."""
    if isinstance(given, str):
        if _is_address(given):
            yield given
    elif isinstance(given, Mapping):
        for item in given.values():
            yield from addresses(item)


def default_addresses(settings: type[Settings]) -> dict[str, str]:
    """Where a plugin goes that is not told where."""
    fields = settings.model_fields.items()
    return {
        name: field.default for name, field in fields if isinstance(field.default, str) and _is_address(field.default)
    }


def leading_nowhere(given: Any) -> Any:
    """The same settings with every address leading to a port where nobody listens."""
    if isinstance(given, str):
        return urlsplit(given)._replace(netloc=NOWHERE).geturl() if _is_address(given) else given
    return {key: leading_nowhere(item) for key, item in given.items()} if isinstance(given, Mapping) else given


def _is_address(text: str) -> bool:
    return bool(re.match(r"(wss?|https?)://\S+$", text))
