"""What a service was given, what came of it, and what is left for another to do."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import NamedTuple, Protocol

from pipecat.frames.frames import Frame


class HandOver(NamedTuple):
    """What is left when a service gives up its work.

    Parameters:
        closing: frames that end what it left open, for the rest of the pipeline.
        redo: frames for whoever goes on.
        seen: ids of those that the rest of the pipeline has seen, and must not see again.
        owing: whether the user waits for something that was begun.
    """

    closing: Sequence[Frame]
    redo: Sequence[Frame]
    seen: Set[int]
    owing: bool


NOTHING_LEFT = HandOver((), (), frozenset(), owing=False)


class Work(Protocol):
    """Follows the work of one role. Bounded; knows the frames of Pipecat, and no service."""

    def given(self, frame: Frame) -> None:
        """A frame goes into the service."""
        ...

    def came(self, frame: Frame) -> bool:
        """A frame came out of the service that is at work. False when the rest of the pipeline must not see it."""
        ...

    def waits_since(self) -> float | None:
        """Since when (time.monotonic) something is due of which there is no sign; None if nothing is."""
        ...

    def idle(self) -> bool:
        """Whether nothing is under way: another service may take over unnoticed."""
        ...

    def hand_over(self) -> HandOver:
        """The service is relieved of its work: what is left of it."""
        ...
