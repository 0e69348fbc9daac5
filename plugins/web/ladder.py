"""Which quality the network takes: down when pictures had to be left out, up again when that was long ago."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW = 2.0
"""Seconds over which what was left out counts."""
TOO_MANY = 8
"""Pictures left out within the window that mean a step down (a sixth of them, at 24 a second)."""
PATIENCE = 8.0
"""Seconds without any left out before a step up is tried; doubled each time that trying failed."""
LONGEST_PATIENCE = 120.0


class Ladder:
    """Steps from 0, the best, to `steps` - 1."""

    def __init__(self, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps, self._clock = steps, clock
        self._at = 0
        self._left_out: deque[float] = deque(maxlen=TOO_MANY)
        self._changed = clock()
        self._patience = PATIENCE
        self._climbed = False

    def dropped(self) -> None:
        """A picture had to be left out."""
        self._left_out.append(self._clock())

    def step(self) -> int:
        """The step to use now."""
        now = self._clock()
        if len(self._left_out) == TOO_MANY and now - self._left_out[0] < WINDOW and self._at + 1 < self._steps:
            if self._climbed and now - self._changed < 2 * self._patience:
                self._patience = min(2 * self._patience, LONGEST_PATIENCE)
            self._move(+1, now)
        elif self._at and now - max(self._changed, self._left_out[-1] if self._left_out else 0.0) > self._patience:
            self._move(-1, now)
        return self._at

    def _move(self, steps: int, now: float) -> None:
        self._at += steps
        self._climbed = steps < 0
        self._changed = now
        self._left_out.clear()
