"""The sound that a server has not answered for yet."""

from __future__ import annotations

BYTES_PER_SAMPLE = 2


class Backlog:
    """The end of a stream of mono 16-bit sound, from the first byte that was not confirmed to the last that came.

    Positions are bytes since the stream began. It is bounded: the oldest sound goes when more than `seconds` wait.

    Parameters:
        rate: samples a second.
        seconds: how much is kept.
    """

    def __init__(self, rate: int, seconds: float) -> None:
        self._rate = rate
        self._limit = BYTES_PER_SAMPLE * round(rate * seconds)
        self._sound = bytearray()
        self.first = 0
        """Position of the first byte that is kept."""

    @property
    def end(self) -> int:
        """Position behind the last byte that came."""
        return self.first + len(self._sound)

    def position(self, origin: int, seconds: float) -> int:
        """The position `seconds` after another."""
        return origin + BYTES_PER_SAMPLE * round(seconds * self._rate)

    def seconds(self, size: int) -> float:
        """How long so many bytes sound."""
        return size / BYTES_PER_SAMPLE / self._rate

    def add(self, sound: bytes) -> None:
        """Append sound, at the cost of the oldest when it is too much."""
        self._sound += sound
        self.drop(self.end - self._limit)

    def drop(self, until: int) -> None:
        """Forget what lies before a position."""
        size = min(max(0, until - self.first), len(self._sound))
        del self._sound[:size]
        self.first += size

    def read(self, position: int, most: int) -> bytes:
        """At most so many bytes from a position on, which must not lie before `first`."""
        start = position - self.first
        return bytes(self._sound[start : start + most])
