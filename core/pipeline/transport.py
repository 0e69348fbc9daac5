"""The connection to the user, as the pipeline sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from PIL import Image
from pipecat.processors.frame_processor import FrameProcessor

from animacy.core.report import TurnReport
from animacy.core.video.contract import VideoFormat
from animacy.core.vision.contract import PictureSource

if TYPE_CHECKING:
    from animacy.core.pipeline.host import Host


@runtime_checkable
class Transport(Protocol):
    """Two ends of a pipeline.

    The input pushes InputAudioRawFrames (mono int16); the output takes CharacterChunkFrames, which leave at their time
    already paired with their audio, and pushes OutputTransportReadyFrame upstream once it can take them.
    """

    greets: bool
    """Whether the character speaks first (a live room) or waits (a recording)."""

    playout_delay: float
    """Seconds from the moment a chunk leaves until its sound is heard; may change while the session goes on."""

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


@runtime_checkable
class LiveTransport(Transport, Protocol):
    """A transport with somebody at the other end, who is sent RTVI messages and told how a turn went."""

    def note_turn(self, turn: TurnReport) -> None:
        """A turn was answered, or cut."""
        ...

    def tell(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Send a message to the visitor's client; False when nobody is there to take it."""
        ...

    async def look(self, source: PictureSource) -> Image.Image | None:
        """The newest picture that the visitor shows there, if there is any."""
        ...


@runtime_checkable
class Server(Protocol):
    """What a transport plugin makes when people come and go: each visitor becomes a transport of its own.

    `animacy run` loads the recipe's models once, in a Host, and lets the server hold conversations in it.
    """

    async def bind(self) -> str:
        """Take the port, before any model is loaded. Returns the address for people. Raises InputError."""
        ...

    async def serve(self, host: Host) -> None:
        """Serve until cancelled, then let go of everything."""
        ...
