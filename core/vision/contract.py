"""What a vision plugin must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from animacy.core.video.contract import RGBFrame

PictureSource = Literal["camera", "screen"]


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen in one picture, in words that a language model reads.

    `summary` is one or two sentences; `details` lines of structured text (people, hands, scene, or the screen's text in
    reading order, numbered). `seconds` is how long it took.
    """

    source: PictureSource
    summary: str
    details: tuple[str, ...] = ()
    seconds: float = 0.0


@runtime_checkable
class Perception(Protocol):
    """Looks at pictures. Blocks; called from one worker thread at a time."""

    def load(self) -> None:
        """Load the models. Raises ModelError."""
        ...

    def look(self, picture: RGBFrame, source: PictureSource) -> Look:
        """Tell what is there. Never raises for a picture that shows nothing."""
        ...

    def close(self) -> None:
        """Free the models. May be called twice."""
        ...
