"""What waits to leave through a peer connection: sound and pictures, little of both, each at its time."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animacy.core.video.contract import RenderedChunk, RGBFrame, VideoFormat
from animacy.plugins.web.rtc.clock import MARGIN, MediaClock

WAITING_SECONDS = 0.5
"""Pictures, and sound, that may wait. Sound only does while no connection takes it."""
BEHIND = 0.1
"""Seconds after which a picture is left out for a newer one: the encoder is slower than real time."""
SOUNDS_PER_SECOND = 50
FADE_SECONDS = 0.005
"""A voice that is cut fades for so long, or a click would be heard."""


@dataclass(frozen=True, slots=True)
class Sound:
    """20 ms of the voice (mono int16); `first_sample` counts from the start of the session, `turn` is 0 for none."""

    first_sample: int
    pcm: bytes
    turn: int


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame and the turn that it speaks, 0 for none."""

    index: int
    frame: RGBFrame
    turn: int


@dataclass(slots=True)
class PlayoutCounts:
    """What did not leave: pictures for which the encoder was too slow, those of a cut turn, and seconds of sound."""

    dropped: int = 0
    flushed: int = 0
    unsent_seconds: float = 0.0


@dataclass(slots=True)
class _Piece:
    first_sample: int
    samples: NDArray[np.int16]
    turn: int


class Playout:
    """Takes chunks as they leave the runner and gives their parts out when they are due.

    Pictures are dropped, oldest first, when nobody encodes them fast enough. Sound is not, while somebody takes it.
    """

    def __init__(self, video: VideoFormat, clock: MediaClock | None = None) -> None:
        self.counts = PlayoutCounts()
        self.clock = clock or MediaClock()
        self._video = video
        self._pictures: deque[Picture] = deque()
        self._pieces: deque[_Piece] = deque()
        self._changed = asyncio.Event()

    def put(self, chunk: RenderedChunk) -> None:
        """Take a chunk that leaves now."""
        self.clock.arrived(chunk.index / self._video.fps)
        turn = chunk.turn or 0
        samples = np.frombuffer(chunk.pcm, np.int16).copy()
        self._pieces.append(_Piece(chunk.index * self._video.samples_per_frame, samples, turn))
        frames = () if chunk.outdated else chunk.frames
        self._pictures.extend(Picture(chunk.index + offset, frame, turn) for offset, frame in enumerate(frames))
        while len(self._pictures) > max(len(chunk.frames), WAITING_SECONDS * self._video.fps):
            self._pictures.popleft()
            self.counts.dropped += 1
        while self._waiting_seconds() > WAITING_SECONDS and len(self._pieces) > 1:
            self.counts.unsent_seconds += len(self._pieces.popleft().samples) / self._video.sample_rate
        self._changed.set()

    def flush(self, turn: int, at_index: int) -> None:
        """Silence what waits of a turn before a frame, and leave out its pictures; the line of time goes on."""
        kept = [picture for picture in self._pictures if picture.turn != turn or picture.index >= at_index]
        self.counts.flushed += len(self._pictures) - len(kept)
        self._pictures = deque(kept)
        end = at_index * self._video.samples_per_frame
        fade = np.linspace(1, 0, round(FADE_SECONDS * self._video.sample_rate))
        for piece in self._pieces:
            if piece.turn == turn and piece.first_sample < end:
                voiced = min(len(fade), len(piece.samples))
                piece.samples[:voiced] = piece.samples[:voiced] * fade[:voiced]
                piece.samples[voiced:] = 0
                fade = fade[voiced:]

    async def next_sound(self) -> Sound:
        """The next 20 ms, at their time."""
        size = self._video.sample_rate // SOUNDS_PER_SECOND
        while True:
            while self._contiguous() < size:
                await self._change()
            early = self.clock.early(self._pieces[0].first_sample / self._video.sample_rate)
            if early <= 0:
                return self._cut(size)
            await asyncio.sleep(early)

    async def next_picture(self) -> Picture:
        """The next picture, at its time; the oldest are skipped by an encoder that is behind."""
        while True:
            while not self._pictures:
                await self._change()
            early = self._early(self._pictures[0])
            if early > 0:
                await asyncio.sleep(early)
            elif early < -BEHIND and len(self._pictures) > 1 and self._early(self._pictures[1]) <= 0:
                self._pictures.popleft()
                self.counts.dropped += 1
            else:
                return self._pictures.popleft()

    def _early(self, picture: Picture) -> float:
        # Encoding takes time, so a picture does not wait for the margin.
        return self.clock.early(picture.index / self._video.fps) - MARGIN

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _waiting_seconds(self) -> float:
        return sum(len(piece.samples) for piece in self._pieces) / self._video.sample_rate

    def _contiguous(self) -> int:
        """Samples that wait without a gap; those before a gap, if they do not fill a packet, are given up."""
        count, end = 0, None
        for piece in list(self._pieces):
            if end is not None and piece.first_sample != end:
                if count >= self._video.sample_rate // SOUNDS_PER_SECOND:
                    break
                while self._pieces[0] is not piece:
                    self._pieces.popleft()
                count = 0
            count += len(piece.samples)
            end = piece.first_sample + len(piece.samples)
        return count

    def _cut(self, size: int) -> Sound:
        first, turn = self._pieces[0].first_sample, 0
        parts: list[NDArray[np.int16]] = []
        while size:
            piece = self._pieces[0]
            part, rest = piece.samples[:size], piece.samples[size:]
            size -= len(part)
            turn = turn or piece.turn
            parts.append(part)
            if len(rest):
                self._pieces[0] = _Piece(piece.first_sample + len(part), rest, piece.turn)
            else:
                self._pieces.popleft()
        return Sound(first, np.concatenate(parts).tobytes(), turn)
