"""Small words for what is seen: counts, lists, articles."""

from __future__ import annotations

from collections.abc import Sequence

_NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def number_word(number: int) -> str:
    """3 -> "three"; figures from 13."""
    return _NUMBERS[number] if 0 <= number < len(_NUMBERS) else str(number)


def count(number: int, noun: str) -> str:
    """(2, "tab") -> "two tabs"."""
    return f"{number_word(number)} {noun}{'' if number == 1 else 's'}"


def joined(words: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def article(noun: str) -> str:
    """ "apple" -> "an apple"."""
    return f"{'an' if noun[:1].lower() in 'aeio' or noun.startswith('OK') else 'a'} {noun}"
