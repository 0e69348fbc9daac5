"""Who owns time: the runner paces a renderer and lets every frame leave with the audio of its own slot.

Audio is the clock. Frame k is due k / fps after the start and carries the samples of exactly that slot; nothing else
decides when a picture is shown. A turn that was interrupted is dead: whatever arrives for it later is refused. A turn
that is held is silent at once too, but recorded (`animacy.core.video.record`), and may go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from animacy.core.video.contract import CharacterState, Portrait, RenderedChunk, Renderer, VideoFormat, Viseme
from animacy.core.video.record import BYTES_PER_SAMPLE, Record

MAX_QUEUED_SECONDS = 60.0
"""Speech that may wait to be said, held or not. Whoever pushes more waits."""
MAX_BEHIND_SECONDS = 0.5
RUSHED = 2
"""Chunks that leave at once after a cut: the one that was under way, and the one that shows its effect."""
STRAYS = 3
"""After so many chunks without it, an ended turn is over for the renderer, whatever it counted as speech."""


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


@dataclass(frozen=True, slots=True)
class Cut:
    """A turn fell silent: its number as the chunks carried it, and the index of the first frame without it."""

    turn: int
    at_index: int


class VideoRunner:
    """Runs one renderer in real time. All methods belong to the event loop that called `start`.

    A turn is spoken of by the number that `begin_turn` gave, even when chunks carry another one since it was held.

    Parameters:
        emit: takes each chunk at its time.
        playout_delay: seconds from a chunk leaving until it is heard; asked again and again.
    """

    def __init__(
        self,
        renderer: Renderer,
        output: VideoFormat,
        emit: Emit,
        clock: Callable[[], float] = time.monotonic,
        playout_delay: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.stats = RunnerStats()
        self.between_chunks = asyncio.Lock()
        """Held while a chunk is emitted: who cuts and tells others of it takes it, so that no chunk comes between."""
        self._renderer, self._output, self._emit, self._clock = renderer, output, emit, clock
        self._playout_delay = playout_delay
        self._task: asyncio.Task[None] | None = None
        self._last_turn = 0
        self._records: dict[int, Record] = {}
        self._leaving: deque[tuple[float, int, int]] = deque()  # when it left, the record's key, samples of speech
        self._held: Cut | None = None
        self._cut_through = 0
        self._rushed = 0  # chunks that do not wait for their time, after a cut
        self._rush = asyncio.Event()
        self._next_index = 0
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
        self._records[self._last_turn] = Record(self._last_turn, self._output.sample_rate)
        return self._last_turn

    async def push_audio(self, pcm: bytes, turn: int, visemes: Sequence[Viseme] | None) -> bool:
        """Say this (mono int16 at the output's rate). False if the turn is dead. Waits while too much is queued.

        While the turn is held, it is kept until the turn goes on.
        """
        limit = int(MAX_QUEUED_SECONDS * self._output.sample_rate)
        while self._is_open(turn) and self._queued_samples() >= limit and not self._closed:
            self._room.clear()
            await self._room.wait()
        if not self._is_open(turn) or self._closed:
            self.stats.refused += 1
            return False
        record = self._records[turn]
        record.push(pcm, visemes)
        if self._held is None:
            self._renderer.push_audio(pcm, self._output.sample_rate, record.number, visemes)
        return True

    def end_turn(self, turn: int) -> None:
        """Nothing more is said in this turn."""
        if self._is_open(turn):
            record = self._records[turn]
            record.ended = True
            if self._held is None:
                self._renderer.end_turn(record.number)
            self._forget_finished()

    def hold(self) -> Cut | None:
        """Fall silent now, but keep what was not heard yet for `resume`. None when there is nothing to be held."""
        self._listen()
        if self._held is None and self._records:
            self._held = self._cut()
        return self._held

    def resume(self) -> None:
        """Say what was not heard when the turn was held, from a gap between words on."""
        if self._held is None:
            return
        self._held = None
        for record in self._records.values():
            self._last_turn += 1
            pcm, visemes = record.go_on(self._last_turn)
            if pcm:
                self._renderer.push_audio(pcm, self._output.sample_rate, record.number, visemes)
            if record.ended:
                self._renderer.end_turn(record.number)
        self._forget_finished()

    def interrupt(self) -> Cut | None:
        """Fall silent for good: every turn begun so far is dead. None when there was none.

        After a hold, the cut is the same as then.
        """
        self._listen()
        cut = self._held or (self._cut() if self._records else None)
        self._held = None
        self._records.clear()
        self._leaving.clear()
        self._room.set()
        return cut

    def pushed(self, turn: int) -> int:
        """Samples of this turn that were pushed so far; 0 when it is over."""
        return self._records[turn].pushed if turn in self._records else 0

    def heard(self, turn: int) -> int | None:
        """Samples of this turn that were heard by now; None when all were, or the turn is dead."""
        self._listen()
        return self._records[turn].heard if turn in self._records else None

    def seconds_left(self) -> float:
        """How much is still to be heard; infinite while a turn has not ended."""
        self._listen()
        if not all(record.ended for record in self._records.values()):
            return math.inf
        return sum(record.pushed - record.heard for record in self._records.values()) / self._output.sample_rate

    @property
    def speaking(self) -> bool:
        """Whether anything is still to be heard, or to be said."""
        self._listen()
        return bool(self._records)

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
                await self._until(due - now)
            else:
                began += self._account_delay(now - due, len(chunk.frames))
            async with self.between_chunks:
                await self._let_go(chunk)

    async def _until(self, seconds: float) -> None:
        """Wait for a chunk's time, unless a cut makes haste: its successor shows the mouth closed."""
        # However often it is cut, it does not run away from its time line.
        ahead = seconds - RUSHED / self._output.fps
        if ahead > 0:
            await asyncio.sleep(ahead)
            seconds -= ahead
        if not self._rushed:
            self._rush.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._rush.wait()

    async def _let_go(self, chunk: RenderedChunk) -> None:
        if chunk.turn is not None and chunk.turn <= self._cut_through:
            # Cut while it waited for its time: its sound must not be heard any more.
            chunk = replace(chunk, pcm=bytes(len(chunk.pcm)), turn=None, speech=0)
        if self._rushed:
            # The first one after a cut was drawn, or begun, before it.
            chunk = replace(chunk, outdated=self._rushed == RUSHED and chunk.turn is None)
            self._rushed -= 1
        self._next_index = chunk.index + len(chunk.frames)
        self._count(chunk)
        self.stats.sent += len(chunk.frames)
        self.stats.repeated += chunk.repeated
        if not await self._emit(chunk):
            self.stats.dropped += len(chunk.frames)

    def _count(self, chunk: RenderedChunk) -> None:
        """Note how much speech leaves with a chunk."""
        now = self._clock()
        for record in self._records.values() if self._held is None else ():
            if record.number == chunk.turn:
                record.strays = 0
                samples = len(chunk.pcm) // BYTES_PER_SAMPLE if chunk.speech is None else chunk.speech
            else:
                record.strays += record.ended and record.emitted > record.offset
                samples = record.pushed if record.strays >= STRAYS else 0
            samples = min(samples, record.pushed - record.emitted)
            if samples:
                record.emitted += samples
                self._leaving.append((now, record.key, samples))
        self._room.set()
        self._listen()

    def _listen(self) -> None:
        """Note what was heard by now."""
        heard_until = self._clock() - self._playout_delay()
        while self._leaving and self._leaving[0][0] <= heard_until:
            _, key, samples = self._leaving.popleft()
            if key in self._records:
                self._records[key].hear(samples)
        self._forget_finished()

    def _forget_finished(self) -> None:
        for key in [key for key, record in self._records.items() if record.over]:
            del self._records[key]

    def _cut(self) -> Cut:
        """Silence the renderer. What has left and was not heard will never be: it is flushed where it is."""
        numbers = [record.number for record in self._records.values()]
        self._cut_through = self._last_turn
        self._rushed = RUSHED
        self._rush.set()
        self._renderer.interrupt(self._last_turn)
        self._leaving.clear()
        return Cut(numbers[0], self._next_index)

    def _is_open(self, turn: int) -> bool:
        return turn in self._records and not self._records[turn].ended

    def _queued_samples(self) -> int:
        return sum(record.pushed - record.emitted for record in self._records.values())

    def _account_delay(self, delay: float, frames: int) -> float:
        """Note how late a chunk is; returns by how much the timeline must move because it cannot be caught up."""
        self.stats.worst_delay = max(self.stats.worst_delay, delay)
        if delay > 1 / self._output.fps:
            self.stats.late += frames
        if delay > MAX_BEHIND_SECONDS:
            self.stats.stalls += 1
            return delay
        return 0.0
