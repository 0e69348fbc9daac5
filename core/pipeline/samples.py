"""What is kept of a figure that is measured without end: how often, and how it is spread."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

KEPT = 4096


class Spread(BaseModel):
    """How a figure is spread. All but `n` are null while nothing was measured."""

    model_config = ConfigDict(extra="forbid")

    n: int = 0
    min: float | None = None
    p50: float | None = None
    p95: float | None = None
    max: float | None = None


class Samples:
    """A uniform sample of all values ever added (Vitter's algorithm R), at most `kept` of them."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._values: list[float] = []
        self._n = 0
        self._min = float("inf")
        self._max = float("-inf")
        # Fixed, so that the same measurements give the same figures.
        self._random = random.Random(0)

    def add(self, value: float) -> None:
        """Count one value."""
        self._n += 1
        self._min, self._max = min(self._min, value), max(self._max, value)
        if len(self._values) < self._kept:
            self._values.append(value)
        elif (place := self._random.randrange(self._n)) < self._kept:
            self._values[place] = value

    def spread(self) -> Spread:
        """Number, smallest and largest of all values; percentiles of the sample."""
        if not self._n:
            return Spread()
        ordered = sorted(self._values)
        figures = self._min, percentile(ordered, 0.5), percentile(ordered, 0.95), self._max
        low, middle, high, top = (round(figure, 4) for figure in figures)
        return Spread(n=self._n, min=low, p50=middle, p95=high, max=top)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the sorted values lie, between neighbours in proportion."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
