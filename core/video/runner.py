"""Who owns time: the runner paces a renderer and lets every frame leave with the audio of its own slot.

Audio is the clock. Frame k is due k / fps after the start and carries the samples of exactly that slot; nothing else
decides when a picture is shown. A turn that was interrupted is dead: whatever arrives for it later is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from animacy.core.video.contract import CharacterState, Portrait, RenderedChunk, Renderer, VideoFormat, Viseme

MAX_QUEUED_SECONDS = 60.0
MAX_BEHIND_SECONDS = 0.5
BYTES_PER_SAMPLE = 2


@dataclass(slots=True)
class RunnerStats:
    """What became of the frames and of the sound.

    `late` frames left more than one slot after they were due, `repeated` ones were copies because the renderer fell
    behind, `stalls` count how often the timeline had to be moved, `refused` the sounds of dead turns.
    """

    sent: int = 0
    late: int = 0
    repeated: int = 0
    dropped: int = 0
    stalls: int = 0
    refused: int = 0
    worst_delay: float = 0.0


Emit = Callable[[RenderedChunk], Awaitable[bool]]
"""Takes a chunk at its time; returns False if it had to drop the picture (the audio is never dropped)."""


class VideoRunner:
    """Runs one renderer in real time. All methods belong to the event loop that called `start`."""

    def __init__(
        self, renderer: Renderer, output: VideoFormat, emit: Emit, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stats = RunnerStats()
        self._renderer, self._output, self._emit, self._clock = renderer, output, emit, clock
        self._task: asyncio.Task[None] | None = None
        self._last_turn = 0
        self._open_turn: int | None = None
        self._speaking: set[int] = set()
        self._queued_samples = 0
        self._room = asyncio.Event()
        self._closed = False

    async def prepare(self, portrait: Portrait) -> None:
        """Let the renderer load and analyse. Raises what the renderer raises."""
        await self._renderer.start(portrait, self._output)

    def start(self) -> None:
        """Start the clock: from now on frames leave."""
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._run(), name="video runner")

    def begin_turn(self) -> int:
        """A number for what the character is about to say."""
        self._last_turn += 1
        self._open_turn = self._last_turn
        self._speaking.add(self._last_turn)
        return self._last_turn

    async def push_audio(self, pcm: bytes, turn: int, visemes: Sequence[Viseme] | None) -> bool:
        """Say this (mono int16 at the output's rate). False if the turn is dead. Waits while too much is queued."""
        limit = int(MAX_QUEUED_SECONDS * self._output.sample_rate)
        while turn in self._speaking and self._queued_samples >= limit and not self._closed:
            self._room.clear()
            await self._room.wait()
        if turn not in self._speaking or self._closed:
            self.stats.refused += 1
            return False
        self._queued_samples += len(pcm) // BYTES_PER_SAMPLE
        self._renderer.push_audio(pcm, self._output.sample_rate, turn, visemes)
        return True

    def end_turn(self, turn: int) -> None:
        """Nothing more is said in this turn."""
        if turn in self._speaking:
            self._speaking.discard(turn)
            self._renderer.end_turn(turn)

    def interrupt(self) -> None:
        """Fall silent now: every turn begun so far is dead."""
        self._speaking.clear()
        if self._open_turn is not None:
            self._renderer.interrupt(self._open_turn)
            self._open_turn = None
        self._queued_samples = 0
        self._room.set()

    def set_state(self, state: CharacterState, emotion: str | None = None) -> None:
        """Tell the renderer what the character is doing."""
        self._renderer.set_state(state, emotion)

    async def close(self) -> None:
        """Stop the clock and release the renderer. May be called twice."""
        self._closed = True
        self._room.set()
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            # Its failure, if any, was told to whoever waits on `wait`.
            await asyncio.gather(task, return_exceptions=True)
        await self._renderer.close()

    async def wait(self) -> None:
        """Wait for the clock to end, which it does only by an error; raises it."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        began: float | None = None
        async for chunk in self._renderer:
            now = self._clock()
            if began is None:
                began = now - chunk.index / self._output.fps
            due = began + chunk.index / self._output.fps
            if due > now:
                await asyncio.sleep(due - now)
            else:
                began += self._account_delay(now - due, len(chunk.frames))
            self._queued_samples = max(0, self._queued_samples - self._spoken_samples(chunk))
            self._room.set()
            self.stats.sent += len(chunk.frames)
            self.stats.repeated += chunk.repeated
            if not await self._emit(chunk):
                self.stats.dropped += len(chunk.frames)

    def _account_delay(self, delay: float, frames: int) -> float:
        """Note how late a chunk is; returns by how much the timeline must move because it cannot be caught up."""
        self.stats.worst_delay = max(self.stats.worst_delay, delay)
        if delay > 1 / self._output.fps:
            self.stats.late += frames
        if delay > MAX_BEHIND_SECONDS:
            self.stats.stalls += 1
            return delay
        return 0.0

    def _spoken_samples(self, chunk: RenderedChunk) -> int:
        return len(chunk.pcm) // BYTES_PER_SAMPLE if chunk.turn is not None else 0
