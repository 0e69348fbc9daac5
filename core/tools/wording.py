"""Sentences with places to fill: "Here is the map of floor {floor}."."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
LONGEST = 300
"""Of a sentence, in characters."""


def worded(sentence: str, values: Mapping[str, Any]) -> str | None:
    """The sentence with a value in each place; None when there is none for one of them."""
    if any(values.get(name) is None for name in PLACE.findall(sentence)):
        return None
    return PLACE.sub(lambda place: spoken(values[place[1]]), sentence)[:LONGEST]


def spoken(value: Any) -> str:
    """A value as it is said aloud."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
