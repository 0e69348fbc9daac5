"""Encodes what the character shows and says. Both block: call them from one worker thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from animacy.core.video.contract import RGBFrame, VideoFormat
from animacy.plugins.web.protocol import Kind, Packet

VideoCodec = Literal["h264", "vp8"]
AudioCodec = Literal["opus", "pcm"]
MICROSECONDS = 1_000_000
KEY_SECONDS = 20
"""A key frame costs as much as a second of the rest; a client that lost its thread gets one at once."""
OPUS_BIT_RATE = 40_000


@dataclass(frozen=True, slots=True)
class Quality:
    """One step of the ladder: size relative to the recipe's, most bits a second, frames left out between two."""

    scale: float
    bit_rate: int
    every: int = 1


LADDER = (Quality(1, 2_500_000), Quality(2 / 3, 900_000), Quality(1 / 2, 420_000), Quality(1 / 2, 220_000, every=2))


class VideoEncoder:
    """One stream of video.

    Parameters:
        output: size and rate of the frames to come.
        codec: H.264 baseline (Annex B) or VP8.
        quality: a step of LADDER.
    """

    def __init__(self, output: VideoFormat, codec: VideoCodec = "h264", quality: Quality = LADDER[0]) -> None:
        self.codec: VideoCodec = codec
        self.quality = quality
        self.width = _even(output.width * quality.scale)
        self.height = _even(output.height * quality.scale)
        self._fps = output.fps
        self._full_size = (self.width, self.height) == (output.width, output.height)
        self._sequence = 0
        self._context = self._open()

    @property
    def codec_string(self) -> str:
        """The name WebCodecs wants (RFC 6381)."""
        if self.codec == "vp8":
            return "vp8"
        return "avc1.42E01F" if self.width * self.height <= 1280 * 720 else "avc1.42E033"

    def wants(self, index: int) -> bool:
        """Whether this frame belongs to the stream at its quality."""
        return index % self.quality.every == 0

    def encode(self, frame: RGBFrame, index: int, turn: int, key: bool) -> Iterator[Packet]:
        """Encode frame number `index`. The first packet of a stream is always a key frame."""
        if not self._full_size:
            frame = cast(RGBFrame, cv2.resize(frame, (self.width, self.height), interpolation=cv2.INTER_AREA))
        picture = av.VideoFrame.from_ndarray(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), format="yuv420p")
        picture.pts = index
        picture.time_base = Fraction(1, self._fps)
        picture.pict_type = av.video.frame.PictureType.I if key else av.video.frame.PictureType.NONE
        for packet in self._context.encode(picture):
            pts = index * MICROSECONDS // self._fps
            yield Packet(Kind.VIDEO, bytes(packet), pts, turn, self._sequence, packet.is_keyframe)
            self._sequence += 1

    def _open(self) -> Any:
        context: Any = av.CodecContext.create("libx264" if self.codec == "h264" else "libvpx", "w")
        context.width, context.height, context.pix_fmt = self.width, self.height, "yuv420p"
        context.framerate, context.time_base = Fraction(self._fps), Fraction(1, self._fps)
        context.gop_size = KEY_SECONDS * self._fps
        # What OpenCV converts to: BT.601, limited range. Decoders that are not told assume BT.709 for HD.
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU601
        if self.codec == "h264":
            # One thread and no look-ahead: a packet for every frame, at once, beside everything else that computes.
            context.options = {
                "preset": "ultrafast" if self.quality.scale == 1 else "veryfast",
                "tune": "zerolatency",
                "profile": "baseline",
                "threads": "1",
                "crf": "24",
                "forced-idr": "1",
                "maxrate": str(self.quality.bit_rate),
                "bufsize": str(self.quality.bit_rate // 2),
            }
        else:
            context.bit_rate = self.quality.bit_rate
            context.options = {"deadline": "realtime", "cpu-used": "10", "lag-in-frames": "0", "threads": "1"}
        context.open()
        return context


class SoundEncoder:
    """The character's voice as Opus packets of 20 ms, or as it is.

    Parameters:
        sample_rate: of the voice, in Hz; one that Opus knows (8, 12, 16, 24 or 48 kHz).
        codec: what the client decodes.
    """

    def __init__(self, sample_rate: int, codec: AudioCodec = "opus") -> None:
        self.codec: AudioCodec = codec
        self._rate = sample_rate
        self._sequence = 0
        self._waiting = np.zeros(0, np.int16)
        self._position: int | None = None
        self._turn = 0
        self._look_ahead: int | None = None
        self._context = self._open() if codec == "opus" else None

    def encode(self, pcm: bytes, first_sample: int, turn: int) -> Iterator[Packet]:
        """Encode mono int16 samples; `first_sample` counts from the start of the session.

        A gap before it (sound that was left out) starts anew there.
        """
        if self._context is None:
            yield self._packet(pcm, first_sample, turn)
            return
        samples = np.frombuffer(pcm, np.int16)
        if self._position is None or self._position + len(self._waiting) != first_sample:
            self._position, self._waiting = first_sample, np.zeros(0, np.int16)
        self._waiting = np.concatenate([self._waiting, samples])
        self._turn = turn or self._turn
        size = self._context.frame_size
        while len(self._waiting) >= size:
            piece, self._waiting = self._waiting[:size], self._waiting[size:]
            # A packet with the end of speech in it still belongs to the turn.
            owner = self._turn if turn or piece.any() else 0
            yield from self._opus(piece, self._position, owner)
            self._position += size
        if not turn and not self._waiting.any():
            self._turn = 0

    def _opus(self, samples: NDArray[np.int16], position: int, turn: int) -> Iterator[Packet]:
        assert self._context is not None
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, position, Fraction(1, self._rate)
        for packet in self._context.encode(frame):
            # The codec looks ahead: what a packet decodes to begins a little before what it was made from. Its own
            # times tell by how much, but know nothing of gaps.
            if self._look_ahead is None:
                self._look_ahead = position - int(packet.pts)
            yield self._packet(bytes(packet), position - self._look_ahead, turn)

    def _packet(self, payload: bytes, sample: int, turn: int) -> Packet:
        packet = Packet(Kind.SOUND, payload, sample * MICROSECONDS // self._rate, turn, self._sequence, key=True)
        self._sequence += 1
        return packet

    def _open(self) -> Any:
        context: Any = av.CodecContext.create("libopus", "w")
        context.sample_rate, context.layout, context.format = self._rate, "mono", "s16"
        context.bit_rate = OPUS_BIT_RATE
        context.options = {"frame_duration": "20", "application": "audio"}
        context.open()
        return context


class SoundDecoder:
    """A microphone's Opus packets as mono int16 samples."""

    def __init__(self, sample_rate: int) -> None:
        self._decoder: Any = av.CodecContext.create("libopus", "r")
        self._decoder.sample_rate = 48_000
        self._decoder.layout = "mono"
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)

    def decode(self, payload: bytes) -> bytes:
        """Samples of one packet. Raises ValueError when it is not Opus."""
        try:
            frames = self._decoder.decode(av.Packet(payload))
        except (av.FFmpegError, ValueError) as error:
            raise ValueError(f"not an Opus packet: {error}") from None
        parts = [part for frame in frames for part in self._resampler.resample(frame)]
        return b"".join(part.to_ndarray().astype("<i2").tobytes() for part in parts)


def _even(size: float) -> int:
    return round(size / 2) * 2
