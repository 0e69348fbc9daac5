"""The character's own words in the microphone: an echo of the loudspeaker must not be taken for the user."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import SequenceMatcher

from animacy.core.pipeline.turns.backchannels import words_of

ALIKE = 0.7
"""How alike two words must be (0 to 1) to be the same one misheard."""
TORN_ALIKE = 0.6
"""The same for what is left of a word that the cut went through."""
WORDS_PER_MISTAKE = 6
"""In so many words one may have been missed, or heard as quite another."""

_ANSWERS = frozenset(
    word
    for line in (
        "yes yeah no nope stop wait what why who how when where pardon sorry ok okay please hello hey",
        "ja nein doch halt stopp warte was warum wer wie wann wo bitte hallo",
        "oui non si stop attends quoi pourquoi qui comment quand où bonjour",
        "sí no para espera qué quién cómo cuándo dónde por favor hola",
    )
    for word in line.split()
)
"""What people answer with a word, even if the character has just used it."""


def is_echo(text: str, said: Sequence[str]) -> bool:
    """Whether a transcript is what the character said: a stretch of its words, in order, with nothing added.

    The first and the last word may be torn, and one word in six misheard. A short answer ("yes", "stop") is never an
    echo.

    Parameters:
        text: what was understood.
        said: words of the character that were audible lately, in order.
    """
    heard = words_of(text)
    if not heard or all(word in _ANSWERS for word in heard):
        return False
    spoken = [word for piece in said for word in words_of(piece)]
    return _mistakes(heard, spoken) <= len(heard) // WORDS_PER_MISTAKE


def _mistakes(heard: list[str], spoken: list[str]) -> float:
    """With how few mistakes the words can be a stretch of what was spoken; infinite if some were added to it."""
    fewest: list[float] = [0.0] * (len(spoken) + 1)  # for no words yet, wherever the stretch begins
    for place, word in enumerate(heard):
        row = [math.inf]
        for end, other in enumerate(spoken):
            missed = row[end] + 1
            row.append(min(fewest[end] + _mistaken(word, other, place == 0, place == len(heard) - 1), missed))
        fewest = row
    return min(fewest)


def _mistaken(word: str, other: str, first: bool, last: bool) -> float:
    """What it costs to take one word for the other: at the ends a strange word was added, not misheard."""
    if word == other:
        return 0.0
    if word not in _ANSWERS:
        size = len(word)
        torn = [other[-size:]] * first + [other[:size]] * last
        if _likeness(word, other) >= ALIKE or any(_likeness(word, part) >= TORN_ALIKE for part in torn):
            return 0.0
    return math.inf if first or last else 1.0


def _likeness(word: str, other: str) -> float:
    return SequenceMatcher(None, word, other).ratio()
