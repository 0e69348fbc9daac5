"""What a look found, as plain records: what answers are made from, without a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Side = Literal["left", "middle", "right"]
"""A third of the picture as the viewer sees it; a camera's picture is taken as it came, not mirrored."""
Distance = Literal["near", "mid", "far"]


@dataclass(frozen=True, slots=True)
class Person:
    """One face that was seen.

    `expression` is one word or two ("smiling", "neutral", "eyes closed"); `gaze` "at the camera", or "left", "right",
    "up", "down" as the viewer sees it; `clothes` colour words, the most of it first. The nearest person comes first.
    """

    side: Side
    distance: Distance
    expression: str
    gaze: str
    smiling: bool = False
    mouth_open: bool = False
    eyes_closed: bool = False
    clothes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hand:
    """One hand: how many fingers are stretched (0 to 5), and the gesture's name, or None when it is none we know."""

    side: Side
    fingers: int
    raised: bool
    gesture: str | None = None


@dataclass(frozen=True, slots=True)
class Thing:
    """An object or a scene by name, how sure the classifier is (0 to 1), and its colour words."""

    name: str
    certainty: float
    colours: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text. `number` is what a person would call it: 1 at the top, or the number that is printed before it.

    Where numbers are printed, what stands beside those lines (side bar, status bar) has the number 0.
    """

    number: int
    text: str
    region: int = 1
    heading: bool = False


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab of a bar at the top of a window."""

    title: str
    active: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it. What a perception does not tell stays empty.

    `lines` is the text in reading order without the window's own (tabs, address, title); `kind` what the screen shows
    ("browser window", "code editor", "slide", "form", "spreadsheet", "screen"); `unread` counts lines that were found
    but not read.
    """

    people: tuple[Person, ...] = ()
    hands: tuple[Hand, ...] = ()
    things: tuple[Thing, ...] = ()
    background: tuple[str, ...] = ()
    lines: tuple[TextLine, ...] = ()
    kind: str | None = None
    title: str | None = None
    address: str | None = None
    tabs: tuple[Tab, ...] = ()
    buttons: tuple[str, ...] = ()
    unread: int = 0
