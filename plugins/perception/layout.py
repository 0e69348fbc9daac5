"""Pieces of text put into rows, and rows into regions, in the order in which a person reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_SAME = 5
"""Papers that differ by no more in any channel are the same; a video's compression is within it."""
_PROSE = 4
"""Words of a line from which on it is a sentence rather than the cell of a table."""
_NUMBER = re.compile(r"(\d{1,4})(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of text and where it is, in pixels.

    `paper` is the colour (RGB) it is written on; `letters` the size of its letters, comparable within one picture.
    """

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    paper: tuple[int, int, int] = (255, 255, 255)
    letters: float = 1.0

    @property
    def height(self) -> float:
        """In pixels."""
        return self.y1 - self.y0

    @property
    def middle(self) -> float:
        """The height at which it stands."""
        return (self.y0 + self.y1) / 2


@dataclass(frozen=True, slots=True)
class Row:
    """Pieces beside each other, from left to right."""

    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """All of it, with a space between pieces."""
        return " ".join(piece.text for piece in self.pieces)

    @property
    def letters(self) -> float:
        """The size of its letters: of the largest piece that is no icon."""
        return max((piece.letters for piece in self.pieces if len(piece.text) > 2), default=0.0)

    @property
    def y0(self) -> float:
        """Its upper edge."""
        return min(piece.y0 for piece in self.pieces)

    @property
    def y1(self) -> float:
        """Its lower edge."""
        return max(piece.y1 for piece in self.pieces)


def rows_of(pieces: Sequence[Piece]) -> list[Row]:
    """Rows from the top down."""
    rows: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda p: p.middle):
        for row in reversed(rows[-3:]):
            if abs(piece.middle - row[0].middle) < 0.5 * min(piece.height, row[0].height):
                row.append(piece)
                break
        else:
            rows.append([piece])
    return [Row(tuple(sorted(row, key=lambda p: p.x0))) for row in rows]


def regions_of(pieces: Sequence[Piece]) -> list[list[Row]]:
    """Regions in reading order: columns that stand apart from left to right, blocks from the top down."""
    if not pieces:
        return []
    size = median(piece.height for piece in pieces)
    for split in (_columns(pieces, size), _blocks(pieces, size)):
        if split:
            return [region for part in split for region in regions_of(part)]
    return [rows_of(pieces)]


def _columns(pieces: Sequence[Piece], size: float) -> list[list[Piece]] | None:
    for cut in _gaps([(p.x0, p.x1) for p in pieces], 1.2 * size):
        left, right = [p for p in pieces if p.x1 <= cut], [p for p in pieces if p.x0 >= cut]
        if _are_panes(left, right) or not _is_table(left, right):
            return [left, right]
    return None


def _are_panes(left: Sequence[Piece], right: Sequence[Piece]) -> bool:
    """Whether each side stands on a paper of its own, as a side bar does."""
    papers = _paper(left), _paper(right)
    if _distance(*papers) <= _SAME:
        return False
    return all(
        sum(_distance(piece.paper, paper) <= _SAME for piece in side) >= 0.8 * len(side)
        for side, paper in zip((left, right), papers, strict=True)
    )


def _is_table(left: Sequence[Piece], right: Sequence[Piece]) -> bool:
    """Whether the rows of one side continue on the other: cells, numbers before lines, labels before values."""
    if all(median(len(piece.text.split()) for piece in side) >= _PROSE for side in (left, right)):
        return False
    few, many = sorted((rows_of(left), rows_of(right)), key=len)
    level = sum(
        any(
            abs((row.y0 + row.y1) - (other.y0 + other.y1)) / 2 < 0.45 * min(row.y1 - row.y0, other.y1 - other.y0)
            for other in many
        )
        for row in few
    )
    return level >= 0.7 * len(few)


def _blocks(pieces: Sequence[Piece], size: float) -> list[list[Piece]] | None:
    for cut in _gaps([(p.y0, p.y1) for p in pieces], 1.3 * size):
        upper, lower = [p for p in pieces if p.y1 <= cut], [p for p in pieces if p.y0 >= cut]
        if not _counts_on(rows_of(upper)[-1], rows_of(lower)[0]):
            return [upper, lower]
    return None


def _counts_on(above: Row, below: Row) -> bool:
    """Whether printed line numbers go on across a gap, which then is only an empty line."""
    numbers = [_NUMBER.match(row.text) for row in (above, below)]
    first, second = (int(match[1]) if match else 0 for match in numbers)
    return 0 < first < second <= first + 5


def _gaps(spans: Sequence[tuple[float, float]], least: float) -> list[float]:
    """The middles of the gaps between spans that are wider than `least`, the widest first."""
    found: list[tuple[float, float]] = []
    ordered = sorted(spans)
    end = ordered[0][1]
    for low, high in ordered[1:]:
        if low - end > least:
            found.append((low - end, (low + end) / 2))
        end = max(end, high)
    return [middle for _, middle in sorted(found, reverse=True)]


def _paper(pieces: Sequence[Piece]) -> tuple[int, int, int]:
    middle = np.median(np.array([p.paper for p in pieces]), axis=0)
    return int(middle[0]), int(middle[1]), int(middle[2])


def _distance(a: tuple[int, int, int], b: tuple[int, int, int]) -> int:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def paper_of(rgb: Pixels, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int]:
    """The most frequent colour of a box of text: its background."""
    height, width = rgb.shape[:2]
    box = rgb[int(max(0, y0)) : int(min(height, y1 + 1)), int(max(0, x0)) : int(min(width, x1 + 1))].reshape(-1, 3)
    if len(box) == 0:
        return 255, 255, 255
    rough = (box >> 3).astype(np.int32)
    keys = (rough[:, 0] << 10) | (rough[:, 1] << 5) | rough[:, 2]
    values, counts = np.unique(keys, return_counts=True)
    colour = np.median(box[keys == values[counts.argmax()]], axis=0)
    return int(colour[0]), int(colour[1]), int(colour[2])


def letters_of(rgb: Pixels, piece: Piece) -> float:
    """The size of a piece's letters: from their height, which tails change, and their width, which the words change."""
    box = rgb[int(max(0, piece.y0)) : int(piece.y1) + 1, int(max(0, piece.x0)) : int(piece.x1) + 1].astype(np.int16)
    if box.size == 0:
        return 1.0
    ink = np.abs(box - np.array(piece.paper)).max(2) > 60
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if len(rows) == 0:
        return 1.0
    tall, wide = float(rows[-1] - rows[0] + 1), float(columns[-1] - columns[0] + 1) / len(piece.text)
    return math.sqrt(tall * wide)
