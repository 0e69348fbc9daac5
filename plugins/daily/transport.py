"""DailyTransport: one conversation in a Daily room, as the pipeline sees it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from loguru import logger
from PIL import Image
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InputTransportMessageFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    OutputTransportReadyFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.pipeline.frames import CharacterChunkFrame, HeardWordFrame
from animacy.core.pipeline.remote import RemoteError
from animacy.core.provider import CharacterContext
from animacy.core.report import TurnReport
from animacy.core.threads import worker
from animacy.core.video.contract import RenderedChunk, RGBFrame, VideoFormat
from animacy.core.vision.contract import PictureSource
from animacy.plugins.daily import DailySettings
from animacy.plugins.daily.call import Call
from animacy.plugins.daily.rooms import Room, Rooms

LABEL = "animacy"
QUEUED_CHUNKS = 3
"""Pictures that may wait for the camera; more would no longer fit their sound."""


class DailyTransport:
    """Satisfies animacy.core.pipeline.transport.LiveTransport."""

    greets = True
    playout_delay = 0.2

    def __init__(self, settings: DailySettings, character: CharacterContext) -> None:
        self._settings, self._character = settings, character
        self._rooms = Rooms(settings, character.name)
        self._room: Room | None = None
        self._call: Call | None = None
        self._ears = _Ears(character.input_sample_rate)
        self._stage: _Stage | None = None

    def input(self) -> FrameProcessor:
        """What the others say."""
        return self._ears

    def output(self) -> FrameProcessor:
        """The character's camera and microphone."""
        assert self._stage is not None, "open() comes first"
        return self._stage

    async def open(self, video: VideoFormat) -> None:
        """Take a room and join it. Raises RemoteError or InputError."""
        self._room = await self._rooms.take()
        self._call = Call(video, self._character.input_sample_rate, self._ears.take_message)
        await self._call.join(self._room, self._character.name, self._settings.join_seconds)
        # Whoever started this must learn where to go, however little is logged.
        print(f"{self._character.name} waits in {self._room.url}", file=sys.stderr)
        if self._settings.transcription:
            self._call.start_transcription()
        self._ears.listen_to(self._call)
        self._stage = _Stage(self._call, video)

    async def wait_done(self) -> None:
        """Return when the last other has left. Raises AnimacyError when the character was put out."""
        assert self._call is not None
        await asyncio.shield(self._call.over)

    async def close(self) -> None:
        """Leave, and remove the room if it was made here. May be called twice."""
        call, self._call = self._call, None
        if call is not None:
            await call.leave()
        room, self._room = self._room, None
        if room is not None:
            try:
                await self._rooms.remove(room)
            except RemoteError as error:
                logger.warning(f"the Daily room could not be removed: {error.args[0]}; it ends by itself")

    def note_turn(self, turn: TurnReport) -> None:
        """Tell the others where the time of the turn went."""
        self.tell("waterfall", turn.model_dump(mode="json"))

    def tell(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Send a message of the character to the others; False when nobody is there."""
        return self._call is not None and self._call.send({"label": LABEL, "type": kind, "data": dict(data)})

    async def look(self, source: PictureSource) -> Image.Image | None:
        """The newest picture that somebody shows."""
        return None if self._call is None else await asyncio.to_thread(self._call.look, source)


class _Ears(FrameProcessor):
    """The others' voices and messages."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self._rate = sample_rate
        self._call: Call | None = None
        self._listening: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Any] = asyncio.Queue(64)

    def listen_to(self, call: Call) -> None:
        """Hear this call when the pipeline starts."""
        self._call = call

    def take_message(self, message: Any) -> None:
        """A message came. More than can be answered are dropped."""
        if isinstance(message, dict) and not self._messages.full():
            self._messages.put_nowait(message)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Begin with the pipeline, and end with it."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame) and self._listening is None and self._call is not None:
            self._listening = self.create_task(self._listen(self._call), "daily speaker")
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop()

    async def cleanup(self) -> None:
        """Stop listening."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._stop()

    async def _listen(self, call: Call) -> None:
        while True:
            sound = await call.hear()
            if sound:
                await self.push_frame(InputAudioRawFrame(audio=sound, sample_rate=self._rate, num_channels=1))
            while not self._messages.empty():
                await self._pass_on(self._messages.get_nowait())

    async def _pass_on(self, message: dict[str, Any]) -> None:
        if message.get("label") == LABEL and message.get("type") == "interrupt":
            await self.broadcast_interruption()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        else:
            await self.broadcast_frame(InputTransportMessageFrame, message=message)

    async def _stop(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            await self.cancel_task(listening)


class _Stage(FrameProcessor):
    """Gives sound and pictures to the call as they come: the runner sends them at their time."""

    def __init__(self, call: Call, video: VideoFormat) -> None:
        super().__init__()
        self._call, self._video = call, video
        self._chunks: asyncio.Queue[RenderedChunk] = asyncio.Queue(QUEUED_CHUNKS)
        self._pen = worker("daily camera")
        self._writing: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take chunks and messages; everything else passes."""
        await super().process_frame(frame, direction)
        if isinstance(frame, CharacterChunkFrame):
            if frame.chunk is not None:
                self._call.say(frame.chunk.pcm)
                if self._chunks.full():  # a camera that is too slow leaves pictures out, and never sound
                    self._chunks.get_nowait()
                self._chunks.put_nowait(frame.chunk)
            return
        if isinstance(frame, OutputTransportMessageFrame | OutputTransportMessageUrgentFrame):
            self._call.send(frame.message)
            return
        if isinstance(frame, HeardWordFrame):
            self._call.send({"label": LABEL, "type": "caption", "data": {"text": frame.text}})
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame) and self._writing is None:
            self._writing = self.create_task(self._write(), "daily camera")
            await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop()

    async def cleanup(self) -> None:
        """Show nothing more."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._stop()
        self._pen.shutdown(wait=False)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            chunk = await self._chunks.get()
            began = loop.time()
            for index, frame in enumerate(chunk.frames):
                await asyncio.sleep(max(0.0, began + index / self._video.fps - loop.time()))
                await loop.run_in_executor(self._pen, self._show, frame)

    def _show(self, frame: RGBFrame) -> None:
        self._call.show(frame.tobytes())

    async def _stop(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await self.cancel_task(writing)
