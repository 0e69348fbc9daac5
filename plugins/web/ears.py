"""The input end: a visitor's microphone, pictures and messages as Pipecat frames."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

from PIL import Image, UnidentifiedImageError
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InputTransportMessageFrame,
    StartFrame,
    UserImageRawFrame,
    UserImageRequestFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.vision.contract import PictureSource

WAITING_SECONDS = 1.0
"""Sound that may wait for the pipeline; what comes faster than that is not a microphone."""
ABSENCE = 0.25
"""Seconds without a sound from the microphone after which silence is heard instead."""
SILENCE_SECONDS = 3.0
"""How long that silence goes on: long enough to end whatever turn was cut off."""
STEP = 0.02


class Ears(FrameProcessor):
    """Hears as the sound arrives. A microphone that falls silent in mid-word, because it was muted or the connection
    broke, is followed by silence, so that the turn ends.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.dropped = 0
        self._rate = sample_rate
        self._sounds: asyncio.Queue[bytes] = asyncio.Queue(round(WAITING_SECONDS / STEP))
        self._pictures: dict[PictureSource, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    def hear(self, pcm: bytes) -> None:
        """Take sound of the microphone: mono int16 at the rate of the pipeline's input."""
        try:
            self._sounds.put_nowait(pcm)
        except asyncio.QueueFull:
            self.dropped += 1

    def see(self, source: PictureSource, jpeg: bytes) -> None:
        """Take a picture. Only the newest of each source is kept, and only in memory."""
        self._pictures[source] = jpeg

    def look_away(self, source: PictureSource) -> None:
        """Forget what was seen there."""
        self._pictures.pop(source, None)

    async def take_message(self, message: dict[str, Any]) -> None:
        """Pass on an RTVI message."""
        if self._task is not None:
            await self.broadcast_frame(InputTransportMessageFrame, message=message)

    async def look(self, source: PictureSource) -> Image.Image | None:
        """The newest picture from there, if there is any."""
        jpeg = self._pictures.get(source)
        return None if jpeg is None else await asyncio.to_thread(_decode, jpeg)

    async def interrupt(self) -> None:
        """Cut the character off, because the visitor pressed the button for it."""
        if self._task is not None:
            await self.broadcast_interruption()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Begin with the pipeline, and end with it."""
        await super().process_frame(frame, direction)
        if isinstance(frame, UserImageRequestFrame):
            await self._show(frame)
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame) and self._task is None:
            self._task = self.create_task(self._listen(), "microphone")
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop()

    async def cleanup(self) -> None:
        """Stop listening."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._stop()

    async def _stop(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            await self.cancel_task(task)

    async def _listen(self) -> None:
        silence = bytes(2 * round(self._rate * STEP))
        heard = time.monotonic() - SILENCE_SECONDS
        while True:
            wait = STEP if ABSENCE < time.monotonic() - heard < ABSENCE + SILENCE_SECONDS else ABSENCE
            try:
                pcm = await asyncio.wait_for(self._sounds.get(), wait)
                heard = time.monotonic()
            except TimeoutError:
                if time.monotonic() - heard >= ABSENCE + SILENCE_SECONDS:
                    continue
                pcm = silence
            await self.push_frame(InputAudioRawFrame(audio=pcm, sample_rate=self._rate, num_channels=1))

    async def _show(self, request: UserImageRequestFrame) -> None:
        """Answer a request for a picture with the newest one, if there is any."""
        wanted = request.video_source
        source: PictureSource = "screen" if wanted == "screen" else "camera"
        picture = await self.look(source)
        if picture is None:
            return
        frame = UserImageRawFrame(
            image=picture.tobytes(),
            size=picture.size,
            format="RGB",
            user_id=request.user_id,
            text=request.text,
            append_to_context=request.append_to_context,
            request=request,
        )
        frame.transport_source = source
        await self.push_frame(frame)


def _decode(jpeg: bytes) -> Image.Image | None:
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
