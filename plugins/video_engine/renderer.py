"""The `video_engine` renderer: an engine process draws, and this side says what is spoken and shows what was drawn."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections import deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animacy.core.errors import InputError
from animacy.core.shared import Share
from animacy.core.threads import Priority, worker
from animacy.core.video.contract import CharacterState, Portrait, RenderedChunk, RGBFrame, VideoFormat, Viseme
from animacy.core.video.speech_queue import Slot, SpeechQueue
from animacy.engine.address import Address
from animacy.engine.client import EngineClient, EngineSession
from animacy.engine.errors import EngineError, EngineGoneError
from animacy.engine.process import EngineProcess
from animacy.plugins.video_engine.picture import fit, reference
from animacy.plugins.video_engine.settings import VideoEngineSettings

log = logging.getLogger(__name__)

_LOOK_AHEAD_SECONDS = 0.25
"""Speech that is shown to the engine beyond a chunk, at least as much as any preset listens to."""
_TIGHT = 0.7
"""When a chunk takes this share of the time that it lasts, the next one is begun before it is asked for."""
_REMEMBERED = 16
"""Chunks after which a slow one is forgotten."""


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A chunk on its way: its sound, and the frames to come."""

    slot: Slot
    frames: asyncio.Future[NDArray[np.uint8]]
    asked: float


class VideoEngineRenderer:
    """Implements `animacy.core.video.contract.Renderer`; chunks of one iteration, four frames.

    An engine of its own is shared with all renderers of the same settings. A chunk is begun when the one before it
    begins to be shown, so that the latest speech is in it; one chunk earlier while the engine needs nearly as long as a
    chunk lasts. Nothing is drawn further ahead.

    Parameters:
        settings: see VideoEngineSettings.
        sessions: how many characters an engine of its own has room for.
        folder: where relative paths begin.
    """

    def __init__(self, settings: VideoEngineSettings, sessions: int, folder: Path) -> None:
        self._settings = settings
        options = settings.options(sessions, folder)
        self._own: Share[EngineProcess] | None = None
        if settings.address is None:
            make = partial(EngineProcess, options)
            self._own = Share(("video_engine", options), make, EngineProcess.close, Priority.NORMAL)
        self._client: EngineClient | None = None
        self._session: EngineSession | None = None
        self._queue: SpeechQueue | None = None
        self._image: RGBFrame | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._output = VideoFormat()
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._index = 0
        self._closed = False

    async def start(self, portrait: Portrait, output: VideoFormat) -> None:
        """Wait for the engine and read the picture; a place on the engine is taken with the first frame.

        Raises:
            EngineError: the engine cannot be had; the error says why.
            InputError: it draws another number of frames a second, or the picture cannot be read.
        """
        self._output = output
        self._pool = worker("video engine")
        self._client = client = await self._connect()
        engine = client.engine
        if engine.fps != output.fps:
            raise InputError(
                f"video.fps is {output.fps}, but preset {engine.preset} of the engine draws {engine.fps} a second",
                f"Set video.fps to {engine.fps}.",
            )
        if engine.random_weights:
            warnings.warn(
                f"the engine runs preset {engine.preset} with random weights, so the video is noise; give `weights`",
                stacklevel=2,
            )
        samples = engine.frames * output.samples_per_frame
        self._queue = SpeechQueue(output.sample_rate, samples, int(_LOOK_AHEAD_SECONDS * output.sample_rate))
        loop = asyncio.get_running_loop()
        self._image = await loop.run_in_executor(self._pool, reference, portrait, engine.width, engine.height)

    def push_audio(self, pcm: bytes, sample_rate: int, turn: int, visemes: Sequence[Viseme] | None) -> None:
        """Append speech; ignored when its turn was interrupted or is over. The engine listens, and needs no visemes."""
        if self._queue is None or self._closed:
            return
        if sample_rate != self._output.sample_rate:
            raise ValueError(f"audio at {sample_rate} Hz, the output is at {self._output.sample_rate} Hz")
        if not self._queue.push(pcm, turn, None):
            log.debug("refused %d bytes of turn %d", len(pcm), turn)

    def end_turn(self, turn: int) -> None:
        """No more audio follows in this turn."""
        if self._queue is not None:
            self._queue.end(turn)

    def interrupt(self, turn: int) -> None:
        """Drop this turn's speech, from the chunk that is being drawn as well, and refuse what still comes of it."""
        if self._queue is not None:
            self._queue.drop(turn)
        if self._session is not None:
            self._session.interrupt()

    def set_state(self, state: CharacterState, emotion: str | None = None) -> None:
        """Does nothing: the engine's body language comes from the sound alone."""

    async def __aiter__(self) -> AsyncIterator[RenderedChunk]:
        """Chunks for ever, each with its sound; until `close`. Raises EngineError when the engine is full or ends."""
        if self._client is None or self._queue is None or self._image is None:
            raise RuntimeError("the renderer was not started")
        drawing: deque[_Drawing] = deque()
        try:
            session = await self._client.admit(self._image, self._output.sample_rate, self._settings.seed)
            self._session = session
            while not self._closed:
                while len(drawing) < (2 if self._is_tight else 1):
                    drawing.append(self._ask(session, self._queue.take()))
                yield await self._finish(drawing.popleft())
        except EngineError as error:
            if not self._closed:
                raise await self._explain(error) from None

    async def close(self) -> None:
        """Give the place on the engine back. May be called twice, and without start."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)  # it reads the session's memory
        if self._session is not None:
            self._session.release()
        if self._client is not None:
            await self._client.close()
        if self._own is not None:
            self._own.release()

    async def _connect(self) -> EngineClient:
        if self._own is None:
            return await EngineClient.connect(Address.parse(str(self._settings.address)), _log_progress)
        process = await self._own.load()
        await self._own.run(process.start)  # by the first who needs it, and again if it ended since
        try:
            return await EngineClient.connect(process.address, _log_progress)
        except EngineGoneError as error:
            raise await self._explain(error) from None

    async def _explain(self, error: EngineError) -> EngineError:
        """The end of one's own process, told with what it printed."""
        if self._own is None or not isinstance(error, EngineGoneError):
            return error
        return await self._own.run(self._own.value.ended)

    @property
    def _is_tight(self) -> bool:
        assert self._client is not None
        return max(self._seconds, default=0.0) > _TIGHT * self._client.engine.frames / self._output.fps

    def _ask(self, session: EngineSession, slot: Slot) -> _Drawing:
        pcm = ahead = None
        if slot.speech:
            pcm, ahead = np.frombuffer(slot.pcm, "<i2"), np.frombuffer(slot.ahead, "<i2")
        return _Drawing(slot, session.request(pcm, ahead), asyncio.get_running_loop().time())

    async def _finish(self, drawing: _Drawing) -> RenderedChunk:
        """The chunk with its sound, unless its turn was interrupted meanwhile."""
        assert self._queue is not None and self._pool is not None
        loop, slot = asyncio.get_running_loop(), drawing.slot
        drawn = await drawing.frames
        frames = await loop.run_in_executor(self._pool, self._scale, drawn)
        self._seconds.append(loop.time() - drawing.asked)
        index, self._index = self._index, self._index + len(frames)
        if self._queue.dropped(slot.turn):
            return RenderedChunk(index, frames, bytes(len(slot.pcm)), speech=0)
        return RenderedChunk(index, frames, slot.pcm, slot.turn, speech=slot.speech)

    def _scale(self, drawn: NDArray[np.uint8]) -> tuple[RGBFrame, ...]:
        return tuple(fit(frame, self._output.width, self._output.height) for frame in drawn)


def _log_progress(text: str, done: float) -> None:
    log.info("engine: %s, %.0f %%", text, 100 * done)
