"""The input end over a peer connection: the microphone as it comes, and a picture when one is asked for."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import av
from aiortc.mediastreams import MediaStreamError
from PIL import Image
from pipecat.frames.frames import Frame, StartFrame
from pipecat.processors.frame_processor import FrameDirection

from animacy.core.vision.contract import PictureSource
from animacy.plugins.web.ears import Ears
from animacy.plugins.web.rtc.connection import CharacterConnection

LISTEN_SECONDS = 1.0
"""Pipecat's track stops decoding when nobody asked for two seconds, so a silent microphone is asked again and again."""
LOOK_SECONDS = 4.0
"""How long a picture is waited for: the client must send a key frame first."""


class RtcEars(Ears):
    """Hears and sees over a peer connection."""

    def __init__(self, sample_rate: int, connection: CharacterConnection) -> None:
        super().__init__(sample_rate)
        self._connection = connection
        self._resampler = av.AudioResampler("s16", "mono", sample_rate)
        self._microphone: asyncio.Task[None] | None = None
        self._new_track = asyncio.Event()
        connection.add_event_handler("track-started", self._take_track)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Begin to listen with the pipeline."""
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame) and self._microphone is None:
            self._microphone = asyncio.create_task(self._hear_microphone(), name="rtc microphone")

    async def look(self, source: PictureSource) -> Image.Image | None:
        """Decode the client's video for as long as it takes to get one picture."""
        connection = self._connection
        wrap: Any = connection.screen_video_input_track if source == "screen" else connection.video_input_track
        track = wrap()
        if track is None or track._track is None or not track.is_enabled():
            return None
        await track.discard_old_frames()
        try:
            frame = await asyncio.wait_for(track.recv(), LOOK_SECONDS)
        except (TimeoutError, MediaStreamError):
            return None
        return cast(Image.Image, await asyncio.to_thread(frame.to_image))

    async def _stop(self) -> None:
        await super()._stop()
        task, self._microphone = self._microphone, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _take_track(self, *_: Any) -> None:
        self._new_track.set()

    async def _hear_microphone(self) -> None:
        while True:
            self._new_track.clear()
            track: Any = self._connection.audio_input_track()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
            if track is None or track._track is None or track.readyState != "live":
                await self._new_track.wait()
                continue
            try:
                frame = await asyncio.wait_for(track.recv(), LISTEN_SECONDS)
            except (TimeoutError, MediaStreamError):
                continue
            for part in self._resampler.resample(frame):
                self.hear(part.to_ndarray().astype("<i2").tobytes())
