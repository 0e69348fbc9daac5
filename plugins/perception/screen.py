"""From the pieces of text on a screen to what it shows: kind of program, headings, buttons, numbered lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.core.vision.facts import Facts, TextLine
from animacy.plugins.perception.layout import Piece, Row, regions_of
from animacy.plugins.perception.window import window_of

Pixels = NDArray[np.uint8]

_CODE = re.compile(
    r"^(?:\d+\s+)?(?:import |from \S+ import|def |class |return\b|if .*:$|for .*:$|while .*:$|else:|elif |try:|except|"
    r"const |let |var |function |#include|public |private |async |await |@\w|print\(|//|# )"
    r"|[;{}]\s*$|\w\(.*\)\s*$|\w+ ?[+-]?= ?\S|=>|\w+\.\w+\("
)
_COUNTED = re.compile(r"(\d{1,4})(?:\s+(.*))?")
_BUTTON_WORDS = 4
_HEADING = 1.4
"""How much larger than usual the letters of a heading are."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """A rectangle that is drawn on the screen, in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float


def screen_facts(rgb: Pixels, pieces: Sequence[Piece], unread: int = 0) -> Facts:
    """Tell a screen (RGB) from its pieces of text; `unread` is how many more there are."""
    window = window_of(rgb, pieces)
    regions = regions_of(window.content)
    letters = _column_letters(regions)
    regions = [[row for row in region if row is not letters] for region in regions]
    regions = [region for region in regions if region]
    frames = [] if letters else _frames(rgb)
    buttons, fields = _buttons(window.content, frames)
    lines = _lines(regions, frozenset(buttons))
    kind = _kind(rgb, window.address is not None, bool(window.tabs), letters is not None, lines, len(buttons), fields)
    return Facts(
        lines=lines,
        kind=kind,
        title=window.title,
        address=window.address,
        tabs=window.tabs,
        buttons=tuple(dict.fromkeys(buttons)),
        unread=unread,
    )


def _column_letters(regions: Sequence[Sequence[Row]]) -> Row | None:
    """The row of a spreadsheet that names its columns."""
    for region in regions:
        for row in region:
            letters = row.text.replace(" ", "")
            if len(letters) >= 3 and letters in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
                return row
    return None


def _lines(regions: Sequence[Sequence[Row]], buttons: frozenset[str]) -> tuple[TextLine, ...]:
    everything = [row for region in regions for row in region]
    if not everything:
        return ()
    usual = median(row.letters for row in everything)
    counted = {index: numbers for index, region in enumerate(regions) if (numbers := _printed_numbers(region))}
    main = max(counted, key=lambda index: len(counted[index])) if counted else None
    lines: list[TextLine] = []
    for index, region in enumerate(regions):
        for place, row in enumerate(region):
            text = row.text
            number = 0 if main is not None else len(lines) + 1
            if main == index:
                number = counted[index][place]
                printed = _COUNTED.fullmatch(text)
                text = (printed[2] or "") if printed else text
            heading = row.letters > _HEADING * usual and text not in buttons
            lines.append(TextLine(number, text, index + 1, heading))
    return tuple(lines)


def _printed_numbers(region: Sequence[Row]) -> list[int] | None:
    """The numbers printed before the lines of a region, as in an editor or a spreadsheet; None when it has none."""
    matches = [_COUNTED.fullmatch(row.text) for row in region]
    numbers = [int(match[1]) if match else None for match in matches]
    steps = sum(b is not None and a is not None and b == a + 1 for a, b in pairwise(numbers))
    if len(region) < 3 or steps < 0.55 * (len(region) - 1):
        return None
    filled: list[int] = []
    for place, number in enumerate(numbers):
        expected = filled[-1] + 1 if filled else None
        if number is None or (expected is not None and not 0 <= number - expected <= 3):
            following = next((n - (k - place) for k, n in enumerate(numbers) if k > place and n is not None), 1)
            number = expected if expected is not None else max(following, 0)
        filled.append(number)
    return filled


def _frames(rgb: Pixels) -> list[_Frame]:
    """Rectangles of the size of buttons and fields."""
    height, width = rgb.shape[:2]
    found: dict[tuple[int, ...], _Frame] = {}
    edges = cv2.Canny(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 12, 40)
    contours, _ = cv2.findContours(cv2.dilate(edges, np.ones((2, 2), np.uint8)), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        if not (0.022 * height < h < 0.14 * height and 1.2 * h < w < 0.75 * width):
            continue
        if cv2.contourArea(contour) > 0.85 * w * h:
            found.setdefault((x // 6, y // 6, w // 8, h // 8), _Frame(x, y, x + w, y + h))
    return list(found.values())


def _buttons(pieces: Sequence[Piece], frames: Sequence[_Frame]) -> tuple[list[str], int]:
    """Texts of the buttons, and how many fields there are: a button's text stands in the middle of its frame."""
    buttons: list[str] = []
    fields: set[tuple[int, int]] = set()
    for frame in sorted(frames, key=lambda frame: (frame.y0 // 20, frame.x0)):
        inside = [
            p for p in pieces if frame.x0 - 2 <= p.x0 and p.x1 <= frame.x1 + 2 and frame.y0 <= p.middle <= frame.y1
        ]
        wide, tall = frame.x1 - frame.x0, frame.y1 - frame.y0
        if len(inside) > 1 or (inside and not 1.15 * inside[0].height < tall + 2 < 4 * inside[0].height):
            continue
        if not inside:
            fields.add((round(frame.x0 / 12), round((frame.y0 + frame.y1) / 24)))
            continue
        piece = inside[0]
        centred = abs((piece.x0 + piece.x1) / 2 - (frame.x0 + frame.x1) / 2) < 0.06 * wide + 3
        snug = wide < (piece.x1 - piece.x0) + 8 * piece.height
        if centred and snug and len(piece.text.split()) <= _BUTTON_WORDS and re.search(r"[A-Za-z]{2}", piece.text):
            if piece.text not in buttons:
                buttons.append(piece.text)
        elif not centred:
            fields.add((round(frame.x0 / 12), round((frame.y0 + frame.y1) / 24)))
    return buttons, len(fields)


def _kind(
    rgb: Pixels,
    address: bool,
    tabs: bool,
    letters: bool,
    lines: Sequence[TextLine],
    buttons: int,
    fields: int,
) -> str:
    if address:
        return "browser window"
    if letters:
        return "spreadsheet"
    counted = [line for line in lines if line.number]
    if counted and sum(bool(_CODE.search(line.text)) for line in counted) >= max(2, 0.3 * len(counted)):
        return "code editor"
    if buttons and fields >= 2:
        return "form"
    if tabs:
        return "window"
    if lines and len(lines) <= 14 and any(line.heading for line in lines[:2]) and not buttons:
        return "slide"
    return "screen"
