"""A recording that can be understood without any model: every 10 ms hold the number of their place in it.

Whoever hears it knows which stretches came, in which order, and which were lost or came twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
STEP = RATE // 100
GAP, LENGTH = 0.1, 0.3


@dataclass(frozen=True)
class Word:
    """A word and its seconds in a recording."""

    text: str
    start: float
    end: float


def words_of(text: str, *, pause: float = 0.0) -> list[Word]:
    """The words of a text as they are said, after `pause` seconds."""
    starts = (pause + GAP + k * (LENGTH + GAP) for k in range(len(text.split())))
    return [Word(word, start, start + LENGTH) for word, start in zip(text.split(), starts, strict=True)]


def recording(seconds: float, *, since: float = 0.0) -> bytes:
    """Mono 16-bit sound at RATE, from a moment of the recording on."""
    places = np.arange(round(since * 100), round((since + seconds) * 100))
    return np.repeat(places + 1, STEP).astype("<i2").tobytes()


@dataclass(frozen=True)
class Ears:
    """Understand the words of a recording that were heard whole."""

    script: tuple[Word, ...]

    def words(self, sound: bytes) -> list[Word]:
        """Words with their seconds in `sound`, wherever in the recording it begins and whatever is missing."""
        places = _places(sound)
        found = []
        for word in self.script:
            heard = np.flatnonzero((places >= round(word.start * 100)) & (places < round(word.end * 100)))
            if len(heard) == round((word.end - word.start) * 100):
                found.append(Word(word.text, float(heard[0]) / 100, float(heard[-1] + 1) / 100))
        return sorted(found, key=lambda word: word.start)

    def silence(self, sound: bytes) -> float:
        """Seconds since the last sound of a word, whole or not."""
        places = _places(sound)
        spoken = [(places >= round(word.start * 100)) & (places < round(word.end * 100)) for word in self.script]
        last = np.flatnonzero(np.logical_or.reduce(spoken)) if spoken else places[:0]
        return float(len(places) - 1 - last[-1] if len(last) else len(places)) / 100


@dataclass(frozen=True)
class ToldEars:
    """Take any voice (mono 16-bit at RATE) to say this text, a word every 0.3 s, and all of it by its pause."""

    text: str
    loud: int = 400

    def words(self, sound: bytes) -> list[Word]:
        """The words that were said by now."""
        heard = self._heard(sound)
        if not len(heard):
            return []
        begin, end = heard[0] / RATE, heard[-1] / RATE
        texts = self.text.split()
        count = len(texts) if self.silence(sound) >= GAP else min(len(texts) - 1, int((end - begin) / LENGTH))
        step = (end - begin) / max(1, count)
        return [Word(text, begin + k * step, begin + (k + 1) * step) for k, text in enumerate(texts[:count])]

    def silence(self, sound: bytes) -> float:
        """Seconds since the last voice."""
        heard = self._heard(sound)
        return (len(sound) // 2 - (heard[-1] if len(heard) else 0)) / RATE

    def _heard(self, sound: bytes) -> NDArray[np.intp]:
        return np.flatnonzero(np.abs(np.frombuffer(sound, "<i2").astype(np.int32)) > self.loud)


@dataclass(frozen=True)
class ScriptedEars:
    """Take any voices (mono 16-bit at RATE) to say these texts, one after the other with `pause` seconds between."""

    texts: tuple[str, ...]
    pause: float = 0.8

    def words(self, sound: bytes) -> list[Word]:
        """The words that were said by now."""
        found: list[Word] = []
        for (begin, end), text in zip(self._utterances(sound), self.texts, strict=False):
            words = ToldEars(text).words(sound[2 * begin : 2 * end])
            found += [Word(word.text, word.start + begin / RATE, word.end + begin / RATE) for word in words]
        return found

    def silence(self, sound: bytes) -> float:
        """Seconds since the last voice."""
        return ToldEars("").silence(sound)

    def _utterances(self, sound: bytes) -> list[tuple[int, int]]:
        """First and last sample of each; the last one reaches to the end."""
        voiced = np.flatnonzero(np.abs(np.frombuffer(sound, "<i2").astype(np.int32)) > ToldEars("").loud)
        if not len(voiced):
            return []
        gaps = np.flatnonzero(np.diff(voiced) > self.pause * RATE)
        begins = [int(voiced[0]), *(int(voiced[gap + 1]) for gap in gaps)]
        return list(zip(begins, [*begins[1:], len(sound) // 2], strict=True))


def _places(sound: bytes) -> NDArray[np.int16]:
    return np.frombuffer(sound, "<i2")[::STEP] - 1
