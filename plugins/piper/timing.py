"""When the mouth of a Piper voice moves: the durations of its phonemes, and the silences in its sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from piper.const import BOS, EOS, PAD
from piper.voice import PhonemeAlignment

from animacy.core.video.phones import Phone, heard

Floats = NDArray[np.float32]

LEAD = 0.025
"""Seconds by which the sound runs ahead of Piper's durations, which count the gap after a phoneme as part of it.

Measured on the packaged voice: where closures and vowels are heard against where the durations put them, the lag that
fits best is 25 ms.
"""

QUIET = 10 ** (-50 / 20)
"""Largest level, of full scale, that cannot be heard beside speech; between words the voices fall below -90 dB."""

HOP_SECONDS = 0.01
PAUSE_SECONDS = 0.1
"""A quiet stretch from this length on is a pause with the mouth at rest; a shorter one is the closure of a plosive."""

MARGIN_SECONDS = 0.03
"""Kept around what can be heard."""


def audible(sound: Floats, rate: int) -> tuple[int, int]:
    """First and last (exclusive) sample of what is heard and a margin. Equal when nothing is heard."""
    loud = np.flatnonzero(np.abs(sound) > QUIET)
    if not len(loud):
        return 0, 0
    margin = round(MARGIN_SECONDS * rate)
    return max(0, int(loud[0]) - margin), min(len(sound), int(loud[-1]) + 1 + margin)


def phones(alignments: Sequence[PhonemeAlignment], sound: Floats, rate: int) -> list[Phone]:
    """The sounds of a sentence and its pauses, in seconds from its first sample."""
    edges = (np.cumsum([0, *(part.num_samples for part in alignments)]) / rate - LEAD).tolist()
    read = [
        (part.phoneme, start, end)
        for part, start, end in zip(alignments, edges[:-1], edges[1:], strict=True)
        if part.phoneme not in (BOS, EOS, PAD)
    ]
    return heard(read, _pauses(sound, rate))


def _pauses(sound: Floats, rate: int) -> list[tuple[float, float]]:
    """Stretches in which nothing is heard for PAUSE_SECONDS, or at an end of the sound."""
    hop = round(HOP_SECONDS * rate)
    peaks = np.abs(np.pad(sound, (0, -len(sound) % hop))).reshape(-1, hop).max(axis=1)
    quiet = np.concatenate(([False], peaks <= QUIET, [False]))
    starts, ends = np.flatnonzero(quiet[1:] & ~quiet[:-1]), np.flatnonzero(~quiet[1:] & quiet[:-1])
    return [
        (start * hop / rate, end * hop / rate)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        if start == 0 or end == len(peaks) or (end - start) * hop >= PAUSE_SECONDS * rate
    ]
