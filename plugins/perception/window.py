"""What belongs to a window and not to what it shows: its tabs, its address, its menu, its title."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from animacy.core.vision.facts import Tab
from animacy.plugins.perception.layout import Piece, Row, rows_of

Pixels = NDArray[np.uint8]

_TOP = 0.16
"""The share of the screen's height in which a window's bars are looked for."""
_ADDRESS = re.compile(r"(?:https?:?//)?(?:localhost|[\w-]+(?:\.[\w-]+)+)(?::\d+)?(?:/\S*)?", re.IGNORECASE)
_FILE = re.compile(r".+\.(?:py|js|ts|tsx|c|h|cpp|rs|go|java|md|txt|toml|ya?ml|json|html|css|sh|pdf|docx?|xlsx?)", re.I)
_MENU = {"file", "edit", "view", "help", "window", "tools", "insert", "format", "selection", "go", "run", "terminal"}
_ICONS = re.compile(r"^[^\w\s]{1,2}\s+|\s*[×✕✖]$|\s+[xX]$|\s+[^\w\s)\]!?.]$")
_SAME = 6
"""Colours that differ by less in every channel look the same."""

_EVEN = 30
"""A thin line varies by less along its length, even after a video's compression."""


@dataclass(slots=True)
class Window:
    """A window's own texts, and `content`, the pieces that are left for what it shows."""

    tabs: tuple[Tab, ...] = ()
    address: str | None = None
    title: str | None = None
    content: list[Piece] = field(default_factory=list)


def window_of(rgb: Pixels, pieces: Sequence[Piece]) -> Window:
    """Take a window's bars off the pieces of a screen."""
    height = rgb.shape[0]
    rows = rows_of(pieces)
    top = [row for row in rows if row.y1 < _TOP * height][:4]
    window = Window()
    taken: list[Row] = []
    for index, row in enumerate(top):
        if not window.tabs and window.address is None:
            window.tabs = _tabs(rgb, row, top[index + 1 :])
            if window.tabs:
                taken += top[: index + 1]
                titles = [above for above in top[:index] if not _is_menu(above)]
                window.title = titles[0].text if titles else None
                continue
        address = next((piece for piece in row.pieces if _is_address(piece.text)), None)
        if address is not None and window.address is None:
            window.address = address.text
            taken = [*top[: index + 1]]
            if index > 0 and not window.tabs and len(top[index - 1].pieces) == 1:
                window.title = top[index - 1].text
        elif _is_menu(row):
            taken.append(row)
    if not window.tabs and window.title is None:
        window.title = _title(rgb, rows)
        if window.title:
            taken.append(rows[0])
    owned = {piece for row in taken for piece in row.pieces}
    window.content = [piece for piece in pieces if piece not in owned]
    return window


def _is_address(text: str) -> bool:
    return bool(_ADDRESS.fullmatch(text.strip())) and not _FILE.fullmatch(text.strip())


def _is_menu(row: Row) -> bool:
    words = {word.lower() for word in re.findall(r"\w+", row.text)}
    return len(words & _MENU) >= 3


def _clean(text: str) -> str:
    return _ICONS.sub("", _ICONS.sub("", text.strip())).strip()


def _tabs(rgb: Pixels, row: Row, below: Sequence[Row]) -> tuple[Tab, ...]:
    """The tabs of a row, () when it is none: in a bar of tabs exactly one looks different from the others."""
    pieces = [piece for piece in row.pieces if len(_clean(piece.text)) > 1]
    if not pieces or _is_menu(row):
        return ()
    joined = [piece for piece in pieces if _is_joined(rgb, piece)]
    if joined:
        # Beside a bar of tabs other panes may stand: tabs are those above the widest pane that one of them opens.
        panes = {piece: _pane(rgb, piece) for piece in joined}
        active = max(joined, key=lambda piece: panes[piece][1] - panes[piece][0])
        low, high = panes[active]
        pieces = [piece for piece in pieces if low <= (piece.x0 + piece.x1) / 2 <= high]
        joined = [piece for piece in joined if piece in pieces]
    if len(pieces) == 1:
        under_address = bool(below) and any(_is_address(piece.text) for piece in below[0].pieces)
        return (Tab(_clean(pieces[0].text), True),) if under_address and joined else ()
    odd = pieces.index(joined[0]) if len(joined) == 1 else _odd_paper(pieces)
    if odd is None:
        odd = _underlined(rgb, pieces)
    return () if odd is None else tuple(Tab(_clean(piece.text), k == odd) for k, piece in enumerate(pieces))


def _below(rgb: Pixels, piece: Piece) -> tuple[int, int]:
    """The lines of the picture right below a text, where a tab ends and its pane begins."""
    last = rgb.shape[0] - 1
    return min(last, int(piece.y1)), min(last, int(piece.y1 + 0.8 * piece.height)) + 1


def _pane(rgb: Pixels, piece: Piece) -> tuple[int, int]:
    """The columns over which a tab's colour goes on below it."""
    best = (int(piece.x0), int(piece.x1))
    for line in rgb[slice(*_below(rgb, piece))]:
        same = np.flatnonzero(np.abs(line.astype(np.int16) - np.array(piece.paper)).max(1) < _SAME)
        if not len(same):
            continue
        runs = np.split(same, np.flatnonzero(np.diff(same) > 1.5 * piece.height) + 1)
        middle = (piece.x0 + piece.x1) / 2
        low, high = next(((int(r[0]), int(r[-1])) for r in runs if r[0] <= middle <= r[-1]), best)
        if high - low > best[1] - best[0]:
            best = (low, high)
    return best


def _is_joined(rgb: Pixels, piece: Piece) -> bool:
    """Whether a tab's colour goes on without an edge into what lies below it."""
    x0, x1 = int(max(0, piece.x0)), int(min(rgb.shape[1], max(piece.x1, piece.x0 + 2)))
    strip = rgb[slice(*_below(rgb, piece)), x0:x1].astype(np.int16)
    return bool(strip.size) and bool(np.abs(np.median(strip, axis=1) - np.array(piece.paper)).max() < _SAME)


def _odd_paper(pieces: Sequence[Piece]) -> int | None:
    """The one piece that stands on another colour than all the others."""
    papers = np.array([piece.paper for piece in pieces], np.int16)
    alike = (np.abs(papers[:, None] - papers[None]).max(2) < _SAME).sum(1)
    lonely = np.flatnonzero(alike == 1)
    if len(lonely) != 1:
        return None
    if len(pieces) == 2 or (alike[alike > 1] != len(pieces) - 1).any():
        return None
    return int(lonely[0])


def _underlined(rgb: Pixels, pieces: Sequence[Piece]) -> int | None:
    """The one piece with a line of a colour of its own below it."""
    found = []
    for index, piece in enumerate(pieces):
        y0, y1 = int(piece.y1), int(min(rgb.shape[0], piece.y1 + 1.2 * piece.height))
        margin = int(0.2 * (piece.x1 - piece.x0))  # the box is a little wider than the word
        strip = rgb[y0:y1, int(piece.x0) + margin : int(piece.x1) - margin].astype(np.int16)
        if strip.size and any(
            np.ptp(line, axis=0).max() < _EVEN
            and np.abs(line[0] - np.array(piece.paper)).max() > 40
            and int(np.ptp(line[0])) > 40
            for line in strip
        ):
            found.append(index)
    return found[0] if len(found) == 1 else None


def _title(rgb: Pixels, rows: Sequence[Row]) -> str | None:
    """The text of a title bar: alone in a thin bar at the very top whose colour ends right below it."""
    if not rows or len(rows) < 2:
        return None
    first, height = rows[0], rgb.shape[0]
    piece = max(first.pieces, key=lambda p: len(p.text))
    thin = first.y1 < 0.07 * height and len(first.pieces) <= 2
    return _clean(first.text) if thin and not _is_menu(first) and not _is_joined(rgb, piece) else None
