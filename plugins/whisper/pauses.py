"""When it pays to try to understand what was said so far, while somebody still speaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PAUSE = 0.08
"""Seconds of quiet that may be the end. The VAD waits 0.2 s; what is done in between is time won."""
QUIET = 0.09
"""Loudness, relative to the loudest 20 ms of the last seconds, below which nobody speaks (-21 dB)."""
FORGET = 0.5
"""Share of its loudness that the memory of the loudest moment keeps after a second."""


class Pauses:
    """Follows the loudness of speech. Feed it every piece of audio from the start of an utterance."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._loudest = 0.0
        self._quiet = 0.0
        self._tried = False

    def hear(self, samples: NDArray[np.float32]) -> bool:
        """Take more audio (mono, full scale 1). True once at each pause."""
        seconds = len(samples) / self._rate
        loudness = _loudness(samples)
        self._loudest = max(loudness, self._loudest * FORGET**seconds)
        if loudness > QUIET * self._loudest:
            self._quiet, self._tried = 0.0, False
        else:
            self._quiet += seconds
            if self._quiet >= PAUSE and not self._tried:
                self._tried = True
                return True
        return False

    def is_silent(self, samples: NDArray[np.float32]) -> bool:
        """Whether nothing in these samples is speech, measured against what was heard."""
        size = self._rate // 50
        pieces = (samples[start : start + size] for start in range(0, len(samples), size))
        return all(_loudness(piece) <= QUIET * self._loudest for piece in pieces)


def _loudness(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
