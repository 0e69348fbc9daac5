"""The output end: the character's chunks encoded and sent, and never more of them than the network takes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    OutputTransportReadyFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.pipeline.frames import CharacterChunkFrame, FlushFrame
from animacy.core.threads import worker
from animacy.core.video.contract import CharacterState, RenderedChunk, VideoFormat
from animacy.plugins.web.encoder import LADDER, AudioCodec, SoundEncoder, VideoCodec, VideoEncoder
from animacy.plugins.web.ladder import Ladder
from animacy.plugins.web.link import Link
from animacy.plugins.web.narration import Narrator
from animacy.plugins.web.protocol import Packet, message

WAITING_PICTURES = 6
"""Pictures that may wait to be encoded: a quarter of a second. The oldest are left out first."""
WAITING_SECONDS = 1.0
"""Sound that may wait; a client so far behind hears the newest instead."""
BACKLOG_BYTES = 24 * 1024
"""What may be stuck in the socket before pictures are left out."""


@dataclass(slots=True)
class _Waiting:
    chunk: RenderedChunk
    show: bool = True


class Stage(FrameProcessor):
    """Sends what the character shows and says to the link there is, or to nobody while there is none.

    Pictures are left out before they are encoded, so that what is sent always decodes. A new link begins with a key
    frame.

    Parameters:
        video: size and rates of the chunks.
        playout_delay: seconds until what leaves now is heard.
    """

    def __init__(self, video: VideoFormat, playout_delay: Callable[[], float]) -> None:
        super().__init__()
        self.dropped = 0
        self._video = video
        self._narrator = Narrator(video, self.tell, playout_delay)
        self._link: Link | None = None
        self._codecs: tuple[VideoCodec, AudioCodec] = ("h264", "opus")
        self._ladder = Ladder(len(LADDER))
        self._pictures = VideoEncoder(video)
        self._sounds = SoundEncoder(video.sample_rate)
        self._key_wanted = True
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._pen = worker("encoder")
        self._task: asyncio.Task[None] | None = None

    def attach(self, link: Link, video: VideoCodec, audio: AudioCodec) -> dict[str, Any]:
        """Send to this link from now on. Returns the formats for the welcome message."""
        self._link, self._codecs, self._key_wanted = link, (video, audio), True
        self._queue.clear()
        self._ladder = Ladder(len(LADDER))
        self._pictures = VideoEncoder(self._video, video)
        self._sounds = SoundEncoder(self._video.sample_rate, audio)
        return {"video": self._format(), "audio": {"codec": audio, "sample_rate": self._video.sample_rate}}

    def detach(self, link: Link) -> None:
        """Send to nobody, if this was the link."""
        if self._link is link:
            self._link = None
            self._queue.clear()

    def want_key_frame(self) -> None:
        """The client's decoder lost its thread."""
        self._key_wanted = True

    def tell(self, text: dict[str, Any]) -> None:
        """Send a text message to whoever is there."""
        if self._link is not None:
            self._link.tell(text)

    @property
    def state(self) -> CharacterState:
        """What the client was last told of the character."""
        return self._narrator.state

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take chunks and messages; everything else passes."""
        await super().process_frame(frame, direction)
        if isinstance(frame, CharacterChunkFrame):
            if frame.chunk is not None:
                self._take(frame.chunk)
            return
        if isinstance(frame, OutputTransportMessageFrame | OutputTransportMessageUrgentFrame):
            self.tell(frame.message)
            return
        if isinstance(frame, FlushFrame):
            self._flush(frame)
        self._narrator.notice(frame)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame) and self._task is None:
            self._task = asyncio.create_task(self._send(), name="stage")
            await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop()

    async def cleanup(self) -> None:
        """Stop sending."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._stop()

    async def _stop(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._pen.shutdown(wait=False, cancel_futures=True)

    def _take(self, chunk: RenderedChunk) -> None:
        self._narrator.left(chunk)
        if self._link is None:
            return
        self._queue.append(_Waiting(chunk, show=not chunk.outdated))
        shown = [waiting for waiting in self._queue if waiting.show]
        for waiting in shown[:-WAITING_PICTURES]:
            waiting.show = False
            self.dropped += len(waiting.chunk.frames)
            self._ladder.dropped()
        while len(self._queue) > WAITING_SECONDS * self._video.fps:
            self._queue.popleft()
        self._wake.set()

    def _flush(self, frame: FlushFrame) -> None:
        """What waits of a dead turn is not sent any more; what was sent already is dropped at the client."""
        for waiting in list(self._queue):
            if waiting.chunk.turn == frame.turn and waiting.chunk.index < frame.at_index:
                self._queue.remove(waiting)

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            waiting, link = self._queue.popleft(), self._link
            if link is None:
                continue
            if link.backlog > BACKLOG_BYTES and waiting.show:
                waiting.show = False
                self.dropped += len(waiting.chunk.frames)
                self._ladder.dropped()
            await self._follow_ladder(loop)
            for packet in await loop.run_in_executor(self._pen, self._encode, waiting):
                if self._link is not link or not await link.send(packet.pack()):
                    break

    async def _follow_ladder(self, loop: asyncio.AbstractEventLoop) -> None:
        """Change to another quality when the network asks for it."""
        step = LADDER[self._ladder.step()]
        if step is self._pictures.quality:
            return
        codec = self._codecs[0]
        self._pictures = await loop.run_in_executor(self._pen, VideoEncoder, self._video, codec, step)
        self._key_wanted = True
        self.tell(message("video", **self._format()))

    def _encode(self, waiting: _Waiting) -> list[Packet]:
        chunk, pictures = waiting.chunk, self._pictures
        turn = chunk.turn or 0
        packets = list(self._sounds.encode(chunk.pcm, chunk.index * self._video.samples_per_frame, turn))
        if waiting.show:
            for offset, frame in enumerate(chunk.frames):
                key, index = self._key_wanted, chunk.index + offset
                if key or pictures.wants(index):
                    self._key_wanted = False
                    packets += pictures.encode(frame, index, turn, key)
        return packets

    def _format(self) -> dict[str, Any]:
        pictures = self._pictures
        return {
            "codec": pictures.codec,
            "codec_string": pictures.codec_string,
            "width": pictures.width,
            "height": pictures.height,
            "fps": self._video.fps,
        }
