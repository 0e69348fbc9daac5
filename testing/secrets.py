"""What in a plugin's settings nobody else may read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

SHORTEST = 6
"""Characters. A shorter value ("none") is found in many texts by chance."""
WRONG = "animacy-conform-wrong"

_NAME = re.compile(
    r"(^|[_.-])(api-?key|key|token|secret|password|passphrase|credentials?|authorization)$", re.IGNORECASE
)


def secrets_of(value: Any, name: str = "") -> set[str]:
    """Every secret in settings: SecretStr, and text under a name like `api_key` or `token`, however deep."""
    return {word for secret in _found(value, name) for word in (secret, *secret.split()) if len(word) >= SHORTEST}


def revealed(value: Any) -> Any:
    """Settings as plain values, with their secrets, so that they can be validated again."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return {name: revealed(getattr(value, name)) for name in value.model_fields_set}
    if isinstance(value, Mapping):
        return {name: revealed(item) for name, item in value.items()}
    return [revealed(item) for item in value] if isinstance(value, list | tuple) else value


def with_wrong_secrets(value: Any, name: str = "") -> Any:
    """Plain settings with another value for every secret."""
    if isinstance(value, Mapping):
        return {key: with_wrong_secrets(item, str(key)) for key, item in value.items()}
    return WRONG if isinstance(value, str) and _NAME.search(name) else value


def _found(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _found(getattr(value, field), field)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _found(item, str(key))
    elif isinstance(value, str) and _NAME.search(name):
        yield value
