"""Writing a character's frames and voice to an H.264/AAC file, and measuring what was written.

A film is written beside its final name and moved there when it is complete, so that a name that exists is a film that
plays. Frames and audio share one clock: frame k carries the samples of [k / fps, (k + 1) / fps).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from animacy.core.errors import InputError
from animacy.core.video.contract import RGBFrame, VideoFormat

SUFFIXES = (".mp4", ".mov", ".mkv")
CRF = 20
PRESET = "ultrafast"
AUDIO_BIT_RATE = 128_000


class FilmWriter:
    """Writes one film. Not thread-safe: call it from one thread at a time, off the event loop.

    Raises InputError when the file cannot be written.
    """

    def __init__(self, path: Path, video: VideoFormat, second_track: bool = False) -> None:
        check_writable(path)
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path} is not a film's name", f"End it in one of {', '.join(SUFFIXES)}.")
        self.path = path
        self.frames = 0
        self._video = video
        self._partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
        self._container: Any = None
        try:
            self._open(second_track)
        except (OSError, av.FFmpegError) as error:
            self.discard()
            raise InputError(f"{path} cannot be written: {error}", "Choose another place with --output.") from error

    def write(self, frames: Sequence[RGBFrame], pcm: bytes, second: bytes | None = None) -> None:
        """Append frames and the mono int16 samples of their slots; `second` goes to the second audio track."""
        for pixels in frames:
            # OpenCV converts in a fifth of the time that swscale takes.
            planes = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420)
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts = self.frames
            picture.time_base = Fraction(1, self._video.fps)
            self._container.mux(self._picture.encode(picture))
            self.frames += 1
        self._write_sound(0, pcm)
        if second is not None and len(self._sound) > 1:
            self._write_sound(1, second)

    def finish(self) -> Path:
        """Complete the film and give it its name."""
        if self._container is None:
            return self.path
        try:
            self._container.mux(self._picture.encode(None))
            for stream in self._sound:
                self._container.mux(stream.encode(None))
            self._container.close()
            self._container = None
            self._partial.replace(self.path)
        except (OSError, av.FFmpegError) as error:
            self.discard()
            raise InputError(f"{self.path} could not be completed: {error}", "Is the disk full?") from error
        return self.path

    def discard(self) -> None:
        """Remove what was written so far. May be called twice."""
        if self._container is not None:
            with contextlib.suppress(OSError, av.FFmpegError):
                self._container.close()
            self._container = None
        self._partial.unlink(missing_ok=True)

    def _open(self, second_track: bool) -> None:
        self._container = av.open(str(self._partial), "w", options={"movflags": "+faststart"})
        picture = self._container.add_stream("libx264", rate=self._video.fps)
        picture.width, picture.height = self._video.width, self._video.height
        picture.pix_fmt = "yuv420p"
        # One thread and a cheap preset: the same cores hear, think and draw while the film is written.
        picture.options = {"preset": PRESET, "crf": str(CRF), "threads": "1"}
        # What OpenCV converts to: BT.601, limited range. Players that are not told assume BT.709 for HD.
        picture.codec_context.color_range = ColorRange.MPEG
        picture.codec_context.colorspace = Colorspace.ITU601
        self._picture = picture
        self._sound: list[Any] = []
        self._samples = [0, 0]
        for _ in range(2 if second_track else 1):
            stream = self._container.add_stream("aac", rate=self._video.sample_rate, layout="mono")
            stream.bit_rate = AUDIO_BIT_RATE
            self._sound.append(stream)

    def _write_sound(self, track: int, pcm: bytes) -> None:
        if not pcm:
            return
        samples = np.frombuffer(pcm, np.int16)[None, :]
        sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        sound.sample_rate = self._video.sample_rate
        sound.pts = self._samples[track]
        sound.time_base = Fraction(1, self._video.sample_rate)
        self._samples[track] += samples.shape[1]
        self._container.mux(self._sound[track].encode(sound))


@dataclass(frozen=True, slots=True)
class FilmMeasure:
    """A film read back: format, longest time between two frames (s), audio minus video (s, None if unknown)."""

    width: int
    height: int
    frames: int
    fps: float
    seconds: float
    longest_gap: float
    audio_video_offset: float | None


@dataclass(slots=True)
class SoundMark:
    """A stretch of the voice as it was sent, to find it again in the film: int16 samples, and where they belong (s)."""

    start: float
    samples: NDArray[np.int16]


def measure_film(path: Path, mark: SoundMark | None = None) -> FilmMeasure:
    """Read a film back and measure it. With a mark, the sound is located in the muxed track by cross-correlation."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [float(frame.time or 0.0) for frame in container.decode(stream)]
        width, height, rate = stream.width, stream.height, float(stream.average_rate or 0)
    gaps = np.diff(times)
    offset = _locate(path, mark) if mark is not None and len(mark.samples) else None
    return FilmMeasure(
        width=width,
        height=height,
        frames=len(times),
        fps=rate,
        seconds=times[-1] + 1 / rate if times else 0.0,
        longest_gap=float(gaps.max()) if len(gaps) else 0.0,
        audio_video_offset=None if offset is None or not times else offset - times[0],
    )


def check_writable(path: Path) -> None:
    """Raise InputError unless a file of that name can be written."""
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{path} is a directory", "Name a file.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{path.name}.{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"{path} cannot be written: {reason}", "Choose another place, or give write permission."
        ) from error


def read_audio(path: Path, sample_rate: int) -> NDArray[np.int16]:
    """Read any file with sound as mono int16 at a rate. Raises InputError when there is none in it."""
    if not path.exists():
        raise InputError(f"audio file {path} does not exist", "Check the path.")
    if path.is_dir() or path.stat().st_size == 0:
        raise InputError(f"audio file {path} is empty", "Record it again.")
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(f"{path} holds no sound", "Use an audio file such as WAV, FLAC, MP3 or Opus.")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)
            parts = [
                part.to_ndarray().ravel() for frame in container.decode(audio=0) for part in resampler.resample(frame)
            ]
            parts += [part.to_ndarray().ravel() for part in resampler.resample(None)]
    except InputError:
        raise
    except (OSError, av.FFmpegError, ValueError) as error:
        raise InputError(f"{path} is not an audio file ({error})", "Use WAV, FLAC, MP3 or Opus.") from error
    if not parts:
        raise InputError(f"{path} holds no sound", "Use an audio file such as WAV, FLAC, MP3 or Opus.")
    return np.concatenate(parts).astype(np.int16)


SEARCH_SECONDS = 0.5


def _locate(path: Path, mark: SoundMark) -> float | None:
    """By how much the marked sound comes later in the film than it belongs, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate = stream.rate
        first: float | None = None
        parts = []
        for frame in container.decode(stream):
            first = float(frame.time or 0.0) if first is None else first
            parts.append(frame.to_ndarray().mean(0))
    track = np.concatenate(parts).astype(np.float32)
    wanted = mark.samples.astype(np.float32)
    begin = max(0, round((mark.start - (first or 0.0) - SEARCH_SECONDS) * rate))
    window = track[begin : begin + len(wanted) + round(2 * SEARCH_SECONDS * rate)]
    if len(window) <= len(wanted) or not wanted.any():
        return None
    size = 1 << (len(window) + len(wanted)).bit_length()
    product = np.fft.irfft(np.fft.rfft(window, size) * np.conj(np.fft.rfft(wanted, size)), size)
    lag = int(np.argmax(product[: len(window) - len(wanted)]))
    return (begin + lag) / rate + (first or 0.0) - mark.start
