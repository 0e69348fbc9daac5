"""Whether the network takes what is sent, read from the receiver's reports."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW = 2.0
"""Seconds over which what was sent is counted."""
HEADROOM = 0.9
"""An estimate below this part of what was really sent means that the network holds it up.

Receivers start low and raise their estimate only as far as more is sent, so an estimate below the encoder's target
alone says nothing.
"""
LOSS = 0.1
"""Lost part of the packets from which on less is sent."""
PATIENCE = 1.0
"""Seconds for which bad reports go on before they are believed; a key frame alone causes one."""


class Congestion:
    """Collects what was sent and what the receiver says of it; times from `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sent: deque[tuple[float, int]] = deque()
        self._bad_since: float | None = None
        self._last_bad = 0.0

    def sent(self, size: int) -> None:
        """Note bytes that were sent."""
        now = self._clock()
        self._sent.append((now, size))
        while self._sent[0][0] < now - WINDOW:
            self._sent.popleft()

    def estimate(self, bits: int) -> bool:
        """Take the receiver's estimate in bits a second. True when less should be sent."""
        rate = 8 * sum(size for _, size in self._sent) / WINDOW
        return self._judge(bits < HEADROOM * rate)

    def lost(self, fraction: float) -> bool:
        """Take the part of the packets that was lost since the last report. True when less should be sent."""
        return self._judge(True) if fraction > LOSS else False

    def _judge(self, bad: bool) -> bool:
        now = self._clock()
        if not bad:
            self._bad_since = None
            return False
        if self._bad_since is None or now - self._last_bad > 2 * WINDOW:
            self._bad_since = now
        self._last_bad = now
        if now - self._bad_since < PATIENCE:
            return False
        self._bad_since = None
        return True
