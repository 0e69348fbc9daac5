"""When each sound of a text is heard, from the durations that a voice gives to what it reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from animacy.core.video.visemes import shapes_of

_BEFORE_THEIR_SOUND = "ˈˌ"


class Phone(NamedTuple):
    """A sound of the phonetic alphabet, or a space for a pause, with its time in seconds."""

    symbol: str
    start: float
    end: float


def heard(read: Iterable[tuple[str, float, float]], pauses: Sequence[tuple[float, float]]) -> list[Phone]:
    """The sounds and pauses of what a voice reads: (symbol, start, end) in order, marks and spaces included.

    Length marks give their time to the sound before them; stress marks, punctuation and the spaces between words to the
    one after them. Pauses are only where `pauses` says that nothing is heard, and they are taken out of the sounds.
    """
    found: list[Phone] = []
    pending: float | None = None
    for symbol, start, end in read:
        shapes = shapes_of(symbol)
        if not shapes and symbol not in _BEFORE_THEIR_SOUND and found:
            found[-1] = found[-1]._replace(end=end)
        elif shapes in ((), ("sil",)):
            pending = start if pending is None else pending
        else:
            begin, pending = start if pending is None else pending, None
            found.append(Phone(symbol, begin, end))
    sounds = [part for phone in found for part in _outside(phone, pauses)]
    return sorted([*sounds, *(Phone(" ", low, high) for low, high in pauses)], key=lambda phone: phone.start)


def _outside(phone: Phone, pauses: Sequence[tuple[float, float]]) -> list[Phone]:
    """What is left of a sound when the pauses are taken out of it: nothing, or its first audible part."""
    start, end = phone.start, phone.end
    for low, high in pauses:
        if low <= start < high:
            start = high
        if start < low < end:
            end = low
    return [phone._replace(start=start, end=end)] if end - start > 1e-6 else []
