"""The `portrait` renderer: one picture becomes a talking figure, drawn on one CPU core."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2

from animacy.core.shared import Share
from animacy.core.threads import worker
from animacy.core.video.contract import CharacterState, Portrait, RenderedChunk, RGBFrame, VideoFormat, Viseme
from animacy.core.video.speech_queue import Slot, SpeechQueue
from animacy.plugins.portrait.motion import Director
from animacy.plugins.portrait.pose import Mouth, Pose
from animacy.plugins.portrait.render import Painter
from animacy.plugins.portrait.scene import Scene, build_scene
from animacy.plugins.portrait.settings import PortraitSettings
from animacy.plugins.portrait.speech import REACH

log = logging.getLogger(__name__)


class PortraitRenderer:
    """Implements `animacy.core.video.contract.Renderer`; chunks of one frame.

    What is queued lives on the event loop; drawing runs in one thread of this renderer's own. The analysed picture is
    shared with all renderers of the same picture, size and settings. Nothing is drawn ahead of the consumer, so an
    interruption shows in the very next frame.

    Parameters:
        settings: see PortraitSettings.
        models: brings the face landmarker's and the figure cut-out's files; called in the analysing thread.
    """

    def __init__(self, settings: PortraitSettings, models: Callable[[], tuple[Path, Path]]) -> None:
        self._settings = settings
        self._models = models
        self._scene: Share[Scene] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._painter: Painter | None = None
        self._director: Director | None = None
        self._queue: SpeechQueue | None = None
        self._hushed = False
        self._output = VideoFormat()
        self._state = CharacterState.LISTENING
        self._emotion: str | None = None
        self._index = 0
        self._closed = False

    async def start(self, portrait: Portrait, output: VideoFormat) -> None:
        """Analyse the portrait and make ready to draw. Raises InputError when no face is found and none is given."""
        self._output = output
        self._pool = worker("portrait")
        slot = output.samples_per_frame
        self._queue = SpeechQueue(output.sample_rate, slot, ahead=slot // 2, reach=REACH)
        settings = self._settings
        self._director = Director(output.fps, output.sample_rate, settings.seed, settings.motion, settings.blink)
        self._scene = Share(
            ("portrait", settings, portrait, output, self._models),
            partial(_analyse, portrait, output, settings, self._models),
        )
        scene = await self._scene.load()
        loop = asyncio.get_running_loop()
        self._painter = await loop.run_in_executor(self._pool, Painter, scene, settings.mouth_open)

    def push_audio(self, pcm: bytes, sample_rate: int, turn: int, visemes: Sequence[Viseme] | None) -> None:
        """Append speech; ignored when its turn was interrupted or is over."""
        if self._queue is None or self._closed:
            return
        if sample_rate != self._output.sample_rate:
            raise ValueError(f"audio at {sample_rate} Hz, the output is at {self._output.sample_rate} Hz")
        if not self._queue.push(pcm, turn, visemes):
            log.debug("refused %d bytes of turn %d", len(pcm), turn)

    def end_turn(self, turn: int) -> None:
        """No more audio follows in this turn."""
        if self._queue is not None:
            self._queue.end(turn)

    def interrupt(self, turn: int) -> None:
        """Drop this turn's speech, and refuse what still comes of it."""
        if self._queue is not None:
            self._queue.drop(turn)
            self._hushed = True
        if self._state is CharacterState.SPEAKING:
            self._state = CharacterState.LISTENING

    def set_state(self, state: CharacterState, emotion: str | None = None) -> None:
        """Change the body language from the next frame on."""
        self._state, self._emotion = CharacterState(state), emotion

    async def __aiter__(self) -> AsyncIterator[RenderedChunk]:
        """Frames for ever, each with its sound; until `close`."""
        if self._queue is None or self._pool is None or self._painter is None:
            raise RuntimeError("the renderer was not started")
        loop, queue = asyncio.get_running_loop(), self._queue
        while not self._closed:
            slot = queue.take()
            state = self._state
            if slot.speech:
                state = CharacterState.SPEAKING
            elif state is CharacterState.SPEAKING and not queue.speaking:
                state = CharacterState.LISTENING  # the turn is over, whatever was announced
            hushed, self._hushed = self._hushed, False
            frame = await loop.run_in_executor(self._pool, self._draw, slot, state, self._emotion, hushed)
            # Interrupted while it was being drawn: its sound must not be heard any more.
            cut = queue.dropped(slot.turn)
            index, self._index = self._index, self._index + 1
            if cut:
                yield RenderedChunk(index, (frame,), bytes(len(slot.pcm)), speech=0)
            else:
                yield RenderedChunk(index, (frame,), slot.pcm, slot.turn, speech=slot.speech)

    def _draw(self, slot: Slot, state: CharacterState, emotion: str | None, hushed: bool) -> RGBFrame:
        assert self._director is not None and self._painter is not None
        if hushed:
            self._director.hush()
        return self._painter.draw(self._director.step(slot, state, emotion))

    async def close(self) -> None:
        """Stop drawing and let go of the picture."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        self._painter = self._director = None
        if self._scene is not None:
            self._scene.release()


def _analyse(
    portrait: Portrait, output: VideoFormat, settings: PortraitSettings, models: Callable[[], tuple[Path, Path]]
) -> Scene:
    cv2.setNumThreads(1)  # one core is the promise; the others belong to speech and language
    scene = build_scene(portrait, output, settings, models())
    painter = Painter(scene, settings.mouth_open)
    for blink in (0.0, 0.5, 0.0):  # load the compiled code before the first real frame
        painter.draw(Pose(Mouth(jaw=0.3, lips=1.0 if blink else 0.0), blink_left=blink, blink_right=blink))
    return scene


def packaged_models() -> tuple[Path, Path]:
    """The packaged model files, fetched if they are not here yet."""
    from animacy.plugins.portrait.models import face_model, figure_model

    return face_model().ensure(), figure_model().ensure()
