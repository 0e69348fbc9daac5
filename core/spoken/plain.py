"""Text without what is only for the eye, in any language."""

from __future__ import annotations

import re
import unicodedata

_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)"), r"\1"),  # a markdown link or picture: its text
    (re.compile(r"(?m)^\s*(?:#{1,6}|[-*+•]|>)\s+"), ""),
    (re.compile(r"[*_`~]{2,}|(?<!\w)[*_`~]|[*_`~](?!\w)"), ""),
)
_PICTURES = frozenset(["So", "Sk", "Cs", "Co", "Cn"])
"""Unicode categories of emoji, their skin tones, and what no font shows. What has a name, such as °, has a sound."""

_SAID_SYMBOLS = frozenset("°©®™")
_JOINERS = frozenset("\ufe0e\ufe0f\u200d\u20e3")
"""Put emoji together."""


def without_markup(text: str) -> str:
    """`text` without the marks of markdown."""
    for pattern, kept in _MARKUP:
        text = pattern.sub(kept, text)
    return text


def without_pictures(text: str) -> str:
    """`text` with spaces for emoji and the like."""
    return "".join(" " if _is_picture(char) else char for char in text)


def _is_picture(char: str) -> bool:
    return char in _JOINERS or (char not in _SAID_SYMBOLS and unicodedata.category(char) in _PICTURES)
