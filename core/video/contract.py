"""The renderer contract: what draws a character, and what it may assume.

The idea comes from LiveKit's avatar runner (`livekit/agents/voice/avatar/_types.py`): a renderer is a small protocol
and one runner (`animacy.core.video.runner`) owns time. Here every chunk pairs frames with exactly the audio of their
slot, and every sound carries the number of its turn, so that leftovers of an interrupted turn are refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from animacy.core.video.image import Anchors

RGBFrame = NDArray[np.uint8]
"""One picture, shape (height, width, 3), RGB."""

VisemeShape = Literal["sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U"]
"""The 15 mouth shapes of the Oculus/Meta lip-sync reference, the field's usual set."""

VISEME_SHAPES: tuple[VisemeShape, ...] = get_args(VisemeShape)


@dataclass(frozen=True, slots=True)
class Viseme:
    """One mouth shape in time.

    `start` and `end` are seconds from the first sample of the audio it was pushed with. They may lie beyond the end of
    that audio: a voice that knows its durations before its samples gives the mouth its look-ahead this way.
    """

    shape: VisemeShape
    start: float
    end: float


class CharacterState(StrEnum):
    """What the character is doing, as far as its body language is concerned."""

    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """Size and rates of the output. `sample_rate` must be a multiple of `fps`, so that a frame has whole samples."""

    width: int = 1280
    height: int = 720
    fps: int = 24
    sample_rate: int = 24_000

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.fps, self.sample_rate) <= 0:
            raise ValueError(f"width, height, fps and sample_rate must be positive: {self}")
        if self.width % 2 or self.height % 2:
            raise ValueError(f"width and height must be even for 4:2:0 video: {self.width}x{self.height}")
        if self.sample_rate % self.fps:
            raise ValueError(f"sample_rate {self.sample_rate} is not a multiple of fps {self.fps}")

    @property
    def samples_per_frame(self) -> int:
        """Audio samples in one frame's time slot."""
        return self.sample_rate // self.fps


@dataclass(frozen=True, slots=True)
class Portrait:
    """The reference picture, and where its features are when they cannot be found automatically."""

    image: Path
    anchors: Anchors | None = None


@dataclass(frozen=True, slots=True)
class RenderedChunk:
    """n frames and exactly the audio that belongs to them.

    `index` counts frames since the renderer started, so `index / fps` is the presentation time of the first frame.
    `pcm` is mono 16-bit little-endian, n * samples_per_frame samples. `turn` is the turn whose speech it carries, None
    when nobody speaks. `repeated` of the frames are copies of the one before (a renderer that fell behind may repeat).
    `speech` says how many of the samples are speech, counted from the first, if the rest is padding; None if all are.
    `outdated` is set by the runner: the frames were drawn before the turn was cut, and whoever may leave pictures out
    shows the next ones instead.
    """

    index: int
    frames: Sequence[RGBFrame]
    pcm: bytes
    turn: int | None = None
    repeated: int = 0
    speech: int | None = None
    outdated: bool = False


@runtime_checkable
class Renderer(Protocol):
    """Draws a character. All methods are called from one event loop and none may block it: draw elsewhere."""

    async def start(self, portrait: Portrait, output: VideoFormat) -> None:
        """Load what is needed and analyse the portrait. Raises AnimacyError with a remedy when it cannot."""
        ...

    def push_audio(self, pcm: bytes, sample_rate: int, turn: int, visemes: Sequence[Viseme] | None) -> None:
        """Append speech (mono int16) to be spoken after what is queued.

        `visemes` is None when the voice gives no timings; the renderer then reads the mouth from the sound itself.
        `sample_rate` equals the output's (the runner resamples). The runner lets no more than a minute of speech wait.
        """
        ...

    def end_turn(self, turn: int) -> None:
        """No more audio follows in this turn: pad the last slot with silence and return to listening."""
        ...

    def interrupt(self, turn: int) -> None:
        """Drop everything of this turn and those before it now, and refuse what still comes of them.

        The very next chunk must be silent with the mouth closing; two frames later it is closed.
        """
        ...

    def set_state(self, state: CharacterState, emotion: str | None = None) -> None:
        """Tell what the character is doing (listening, thinking, speaking), for its body language."""
        ...

    def __aiter__(self) -> AsyncIterator[RenderedChunk]:
        """Yield chunks for ever, in order, idle ones (breath, blinks, gaze) where nothing is to be said.

        The consumer paces: asking for the next chunk means that its slot comes next.
        """
        ...

    async def close(self) -> None:
        """Release everything. May be called twice, and without start."""
        ...
