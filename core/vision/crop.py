"""Squares cut out of a picture, as the models of faces and hands want them, and which of them say the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

_MOST = 4
"""Squares beside each other at most, for pictures that are much longer than wide."""


@dataclass(frozen=True, slots=True)
class Box:
    """A square: centre and side in pixels, roll in radians, the detector's score 0 to 1."""

    x: float
    y: float
    side: float
    roll: float
    score: float


def cut(
    rgb: Pixels, x: float, y: float, side: float, roll: float, size: int, border: int = cv2.BORDER_CONSTANT
) -> tuple[Pixels, F32]:
    """A square of the picture scaled to size x size, and the matrix (2, 3) from its pixels back to the picture's."""
    scale = size / side
    c, s = np.cos(roll) * scale, np.sin(roll) * scale
    there = np.array([[c, s, size / 2 - c * x - s * y], [-s, c, size / 2 + s * x - c * y]], np.float32)
    crop = cv2.warpAffine(rgb, there, (size, size), flags=cv2.INTER_AREA, borderMode=border)
    return crop, cv2.invertAffineTransform(there)


def squares(width: int, height: int) -> Iterator[tuple[float, float, float]]:
    """Squares (centre x, y, side) over a picture: all of it, then closer ones in which small things grow large."""
    yield width / 2, height / 2, max(width, height)
    short = min(width, height)
    for share in (1.0, 0.6):
        side = short * share
        columns, rows = (min(_MOST, max(1, round(length / side * 1.2))) for length in (width, height))
        if columns * rows > 1:
            for row in range(rows):
                for column in range(columns):
                    x = side / 2 + (width - side) * (column / (columns - 1) if columns > 1 else 0.5)
                    y = side / 2 + (height - side) * (row / (rows - 1) if rows > 1 else 0.5)
                    yield x, y, side


def distinct(boxes: Iterable[Box], overlap: float = 0.25) -> list[Box]:
    """The best-scored boxes, without those that share more than `overlap` (of their union) with a better one."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: -b.score):
        if all(_overlap(box, other) <= overlap for other in kept):
            kept.append(box)
    return kept


def _overlap(a: Box, b: Box) -> float:
    width = min(a.x + a.side / 2, b.x + b.side / 2) - max(a.x - a.side / 2, b.x - b.side / 2)
    height = min(a.y + a.side / 2, b.y + b.side / 2) - max(a.y - a.side / 2, b.y - b.side / 2)
    if width <= 0 or height <= 0:
        return 0.0
    # A box inside another is the same thing seen from nearer, however small its share of the union.
    inside = width * height / min(a.side, b.side) ** 2
    return width * height / (a.side**2 + b.side**2 - width * height) if inside < 0.8 else 1.0
