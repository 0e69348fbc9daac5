"""When media leaves: one line of time for sound and picture, which the reports to the receiver follow too."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

MARGIN = 0.02
"""Seconds that everything waits, so that a late event loop is not heard: a receiver waits for the latest packet."""
WINDOW = 1.0
"""Seconds after which the line is moved to the earliest of the arrivals in them."""


class MediaClock:
    """Learns from arrivals which moment a presentation time falls on.

    Chunks arrive at their time or a little after it; the earliest of each second tells where the line really is.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._origin: float | None = None
        self._wall = time.time()
        self._window_end = 0.0
        self._least_late = math.inf

    def arrived(self, pts: float) -> None:
        """Media of this presentation time (seconds) is here."""
        now = self._clock()
        if self._origin is None:
            self._origin, self._window_end = now - pts, now + WINDOW
            self._wall = time.time() - pts
        self._least_late = min(self._least_late, now - pts - self._origin)
        if now >= self._window_end:
            self._origin += self._least_late
            self._least_late, self._window_end = math.inf, now + WINDOW

    def early(self, pts: float) -> float:
        """Seconds until media of this time may leave; negative when it is late."""
        return (self._origin or 0.0) + pts + MARGIN - self._clock()

    def wall(self, pts: float) -> float:
        """The time of day (seconds since 1970) that stands for this presentation time.

        It never moves, though what leaves late does: sound and picture are reported at different moments, and a move
        between the two would look like one of them running ahead.
        """
        return self._wall + pts
