"""The connection to the user, as the pipeline sees it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pipecat.processors.frame_processor import FrameProcessor

from animacy.core.video.contract import VideoFormat


@runtime_checkable
class Transport(Protocol):
    """Two ends of a pipeline.

    The input pushes InputAudioRawFrames (mono int16); the output takes CharacterChunkFrames, which leave at their time
    already paired with their audio, and pushes OutputTransportReadyFrame upstream once it can take them.
    """

    greets: bool
    """Whether the character speaks first (a live room) or waits (a recording)."""

    def input(self) -> FrameProcessor:
        """The processor at the head of the pipeline."""
        ...

    def output(self) -> FrameProcessor:
        """The processor near its end."""
        ...

    async def open(self, video: VideoFormat) -> None:
        """Check and open what is needed, before any model is loaded. Raises InputError with a remedy."""
        ...

    async def wait_done(self) -> None:
        """Return when the user is gone; the session then ends."""
        ...

    async def close(self) -> None:
        """Finish what was begun, whatever happened before. May be called twice."""
        ...
