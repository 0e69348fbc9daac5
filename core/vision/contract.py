"""What a vision plugin must offer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from animacy.core.video.contract import RGBFrame
from animacy.core.vision.facts import Facts

PictureSource = Literal["camera", "screen"]


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen in one picture, in words that a language model reads, and as facts that answers are made from.

    `summary` is one or two sentences; `details` lines of structured text (people, hands, scene, or the screen's text in
    reading order, numbered). `seconds` is how long it took. `facts` may be left empty: then
    `animacy.core.vision.questions.answer` only knows the summary.
    """

    source: PictureSource
    summary: str
    details: tuple[str, ...] = ()
    seconds: float = 0.0
    facts: Facts = field(default_factory=Facts)


@runtime_checkable
class Perception(Protocol):
    """Looks at pictures. Blocks; called from one worker thread at a time, best one of Priority.BACKGROUND."""

    def load(self) -> None:
        """Load the models; does nothing when they are loaded. Raises ModelError."""
        ...

    def look(self, picture: RGBFrame, source: PictureSource) -> Look:
        """Tell what is there. Loads the models if need be. Never raises for a picture that shows nothing."""
        ...

    def close(self) -> None:
        """Free the models. May be called twice; a later `load` brings them back."""
        ...
