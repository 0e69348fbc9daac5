"""What was said in a turn, how much of it left and how much was heard: kept so that it can go on after a pause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from animacy.core.video.contract import Viseme

BYTES_PER_SAMPLE = 2
KEPT_SECONDS = 1.5
"""Of what was heard, so much is kept: a turn goes on from a quiet place in it."""
LOOK_BACK_SECONDS = 0.8
"""How far before the cut a quiet place is looked for."""
WINDOW_SECONDS = 0.01
QUIET = 0.12
"""Loudness below which a window is a gap between words, as a share of the loudest around it (-18 dB)."""


@dataclass(slots=True, eq=False)
class Record:
    """One turn. Positions are samples from its beginning, whatever number the renderer knows it by.

    Parameters:
        key: the number under which it began, and is spoken of.
        number: the one under which the renderer has it now; it changes when the turn goes on after a hold.
        offset: position of the first sample that the renderer has under this number.
    """

    key: int
    rate: int
    number: int = 0
    offset: int = 0
    pushed: int = 0
    emitted: int = 0
    heard: int = 0
    ended: bool = False
    strays: int = 0  # chunks of others in a row, since its own last one
    visemes: list[Viseme] | None = None
    _pcm: bytearray = field(default_factory=bytearray)
    _first: int = 0

    def __post_init__(self) -> None:
        self.number = self.number or self.key

    @property
    def over(self) -> bool:
        """Whether nothing of it is still to be heard."""
        return self.ended and self.heard >= self.pushed

    def push(self, pcm: bytes, visemes: Sequence[Viseme] | None) -> None:
        """Append speech (mono int16) and the mouth shapes that came with it, timed from its first sample."""
        if visemes is not None:
            base = self.pushed / self.rate
            moved = [replace(v, start=v.start + base, end=v.end + base) for v in visemes]
            # What was foretold for this time is now known better.
            known = [v for v in self.visemes or () if not moved or v.start < moved[0].start - 1e-4]
            self.visemes = known + moved
        self._pcm += pcm[: len(pcm) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE]
        self.pushed += len(pcm) // BYTES_PER_SAMPLE

    def hear(self, samples: int) -> None:
        """So many more were heard; forget what lies far behind."""
        self.heard = min(self.heard + samples, self.pushed)
        first = self.heard - int(KEPT_SECONDS * self.rate)
        if first > self._first + self.rate:
            del self._pcm[: BYTES_PER_SAMPLE * (first - self._first)]
            self._first = first
            if self.visemes is not None:
                self.visemes = [v for v in self.visemes if v.end * self.rate > first]

    def go_on(self, number: int) -> tuple[bytes, list[Viseme] | None]:
        """Take the turn up again under a new number: the sound to be said, and its visemes."""
        kept = np.frombuffer(bytes(self._pcm), np.int16)
        self.offset = self._first + resume_point(kept, self.heard - self._first, self.rate, whole=self.ended)
        self.number, self.emitted, self.heard = number, self.offset, self.offset
        pcm = bytes(self._pcm[BYTES_PER_SAMPLE * (self.offset - self._first) :])
        if self.visemes is None:
            return pcm, None
        base = self.offset / self.rate
        rest = [replace(v, start=max(0.0, v.start - base), end=v.end - base) for v in self.visemes if v.end > base]
        return pcm, rest


def resume_point(samples: NDArray[np.int16], heard: int, rate: int, *, whole: bool = True) -> int:
    """Where speech that was cut after `heard` samples goes on, so that it does not begin inside a word.

    The last gap between words at or shortly before the cut, or the quietest moment there; the end if only silence was
    left. `whole`: `samples` reach to the end of the turn.
    """
    window = max(1, int(WINDOW_SECONDS * rate))
    first = max(0, heard - int(LOOK_BACK_SECONDS * rate)) // window * window
    around = _loudness(samples[first : heard + int(LOOK_BACK_SECONDS * rate)], window)
    if heard <= 0 or not len(around):
        return 0
    limit = QUIET * float(around.max())
    rest = _loudness(samples[heard:], window)
    if whole and not (rest > limit).any():
        return len(samples)
    before = around[: max(1, (heard - first) // window)]
    gaps = np.flatnonzero(before <= limit)
    quietest = int(gaps[-1]) if len(gaps) else int(before.argmin())
    return min(heard, first + quietest * window)


def _loudness(samples: NDArray[np.int16], window: int) -> NDArray[np.float64]:
    """Root mean square of each window; the last one may be shorter."""
    if not len(samples):
        return np.zeros(0)
    padded = np.zeros(-(-len(samples) // window) * window)
    padded[: len(samples)] = samples
    squares: NDArray[np.float64] = np.sqrt(np.square(padded).reshape(-1, window).mean(1))
    return squares
