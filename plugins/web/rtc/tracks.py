"""The two tracks of the character, with the presentation times of its own line.

They give aiortc packets that are encoded already. With raw frames it would count Opus from zero, and encode in threads
that are shared with everything else. A stock video track (`aiortc.VideoStreamTrack`, and Pipecat's `RawVideoTrack`
after it) paces by 1/30 s whatever its frame rate is, so that 24 frames a second fall behind.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from animacy.core.video.contract import VideoFormat
from animacy.plugins.web.encoder import LADDER, MICROSECONDS, SoundEncoder, VideoCodec, VideoEncoder
from animacy.plugins.web.ladder import TOO_MANY, Ladder
from animacy.plugins.web.protocol import Packet
from animacy.plugins.web.rtc.congestion import Congestion
from animacy.plugins.web.rtc.playout import Picture, Playout

SOUND_RATE = 48_000
PICTURE_RATE = 90_000
KEY_SECONDS = 0.5
"""Least time between two key frames that a receiver asks for: it asks again and again until one arrives."""


class _Track(MediaStreamTrack):
    """Gives packets; `sent` is the presentation time of the last one, in seconds."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.sent: float | None = None
        self._rate = rate
        self._ready: deque[Packet] = deque()

    async def recv(self) -> av.Packet[Any]:
        """The next packet, when it may leave. Raises MediaStreamError after the end."""
        while not self._ready:
            if self.readyState != "live":
                raise MediaStreamError
            self._ready.extend(await self._more())
        packet = self._ready.popleft()
        self.sent = packet.pts / MICROSECONDS
        data: av.Packet[Any] = av.Packet(packet.payload)
        data.pts, data.time_base = round(packet.pts * self._rate / MICROSECONDS), Fraction(1, self._rate)
        return data

    @abstractmethod
    async def _more(self) -> Iterable[Packet]:
        """The next packets, encoded; none when nothing is to be sent of what came."""


class SoundTrack(_Track):
    """The voice as Opus packets of 20 ms."""

    kind = "audio"

    def __init__(self, playout: Playout, video: VideoFormat) -> None:
        super().__init__(SOUND_RATE)
        self._playout = playout
        self._encoder = SoundEncoder(video.sample_rate)

    async def _more(self) -> Iterable[Packet]:
        sound = await self._playout.next_sound()
        # A tenth of a millisecond: handing it to a thread would cost as much.
        return self._encoder.encode(sound.pcm, sound.first_sample, sound.turn)


class PictureTrack(_Track):
    """The pictures, encoded on the worker `pen` in a quality that network and processor bear.

    aiortc's own VP8 encoder stops at 1.5 Mbit/s, where a face of 720 lines smears when it moves; LADDER[0] allows more.
    """

    kind = "video"

    def __init__(self, playout: Playout, video: VideoFormat, pen: ThreadPoolExecutor) -> None:
        super().__init__(PICTURE_RATE)
        self.codec: VideoCodec = "vp8"
        self._playout, self._video, self._pen = playout, video, pen
        self._encoder: VideoEncoder | None = None
        self._ladder, self._congestion = Ladder(len(LADDER)), Congestion()
        self._key_wanted = False
        self._key_index: int | None = None
        self._dropped = playout.counts.dropped

    def want_key_frame(self) -> None:
        """The receiver's decoder lost its thread."""
        self._key_wanted = True

    def estimated(self, bits: int) -> None:
        """The receiver thinks that the network takes so many bits a second."""
        if self._congestion.estimate(bits):
            self._slow_down()

    def lost(self, fraction: float) -> None:
        """This part of the packets was lost lately."""
        if self._congestion.lost(fraction):
            self._slow_down()

    async def _more(self) -> Iterable[Packet]:
        picture = await self._playout.next_picture()
        for _ in range(self._playout.counts.dropped - self._dropped):
            self._ladder.dropped()
        self._dropped = self._playout.counts.dropped
        packets = await asyncio.get_running_loop().run_in_executor(
            self._pen, self._encode, picture, self._ladder.step()
        )
        self._congestion.sent(sum(len(packet.payload) for packet in packets))
        return packets

    def _encode(self, picture: Picture, step: int) -> list[Packet]:
        if self._encoder is None or self._encoder.quality is not LADDER[step] or self._encoder.codec != self.codec:
            self._encoder = VideoEncoder(self._video, self.codec, LADDER[step])
        key = self._key_wanted and self._key_due(picture.index)
        if not key and not self._encoder.wants(picture.index):
            return []
        if key:
            self._key_wanted, self._key_index = False, picture.index
        return list(self._encoder.encode(picture.frame, picture.index, picture.turn, key))

    def _key_due(self, index: int) -> bool:
        return self._key_index is None or index - self._key_index >= KEY_SECONDS * self._video.fps

    def _slow_down(self) -> None:
        for _ in range(TOO_MANY):
            self._ladder.dropped()
