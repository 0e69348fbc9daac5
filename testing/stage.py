"""A service in a real Pipecat pipeline, with everything that leaves it and when."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pipecat.frames.frames import ErrorFrame, Frame, InterruptionFrame, StartFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker, ProcessorUnusablePolicy
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from animacy.core.provider import CharacterContext
from animacy.testing.rule import BrokenError, expect
from animacy.testing.watch import until

START_SECONDS = 60.0
END_SECONDS = 5.0
"""From a CancelFrame to the end of the pipeline: a user has hung up, and the next one may wait for the place."""

F = TypeVar("F", bound=Frame)


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame that left the service, and when (time.monotonic)."""

    frame: Frame
    at: float
    up: bool


class _Probe(FrameProcessor):
    """Notes what goes by in one direction."""

    def __init__(self, note: Callable[[Frame, bool], None], direction: FrameDirection) -> None:
        super().__init__(enable_direct_mode=True)
        self._note, self._direction = note, direction

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction == self._direction and not isinstance(frame, StartFrame):
            self._note(frame, direction == FrameDirection.UPSTREAM)
        await self.push_frame(frame, direction)


class Stage:
    """Processors between two probes. Use `on_stage`."""

    def __init__(self, processors: Iterable[FrameProcessor], character: CharacterContext) -> None:
        self.seen: list[Seen] = []
        self.ended_in = 0.0
        self._head = _Probe(self._note, FrameDirection.UPSTREAM)
        self._tail = _Probe(self._note, FrameDirection.DOWNSTREAM)
        self._worker = PipelineWorker(
            Pipeline([self._head, *processors, self._tail]),
            params=PipelineParams(
                audio_in_sample_rate=character.input_sample_rate,
                audio_out_sample_rate=character.sample_rate,
                enable_metrics=True,
                enable_usage_metrics=True,
            ),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
            processor_unusable_policy=ProcessorUnusablePolicy.CONTINUE,
        )
        self._runner = WorkerRunner(handle_sigint=False)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the pipeline. Raises BrokenError when it does not."""
        started = asyncio.Event()

        async def on_pipeline_started(*_: Any) -> None:
            started.set()

        self._worker.add_event_handler("on_pipeline_started", on_pipeline_started)
        await self._runner.add_workers(self._worker)
        self._running = asyncio.create_task(self._runner.run(), name="stage")
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({waiting, self._running}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        expect(started.is_set(), f"the pipeline with it does not start: {self._told() or 'it waits for a StartFrame'}")

    async def send(self, *frames: Frame) -> None:
        """Let frames come from before the service."""
        for frame in frames:
            await self._worker.queue_frame(frame)

    async def send_up(self, *frames: Frame) -> None:
        """Let frames come from after the service."""
        for frame in frames:
            await self._worker.queue_frame(frame, FrameDirection.UPSTREAM)

    async def interrupt(self) -> float:
        """The user has the word. Returns when the interruption had gone through (time.monotonic)."""
        count = len(self.of(InterruptionFrame))
        await self.send(InterruptionFrame())
        expect(
            await self.until(lambda: len(self.of(InterruptionFrame)) > count, END_SECONDS),
            "an InterruptionFrame does not get through it",
        )
        return time.monotonic()

    def of(self, *types: type[F]) -> list[F]:
        """The frames of these types that left, in order."""
        return [seen.frame for seen in self.seen if isinstance(seen.frame, types)]

    def times(self, *types: type[Frame], since: float = 0.0) -> list[float]:
        """When frames of these types left."""
        return [seen.at for seen in self.seen if isinstance(seen.frame, types) and seen.at > since]

    def forget(self) -> None:
        """Forget what was seen."""
        self.seen.clear()

    @property
    def errors(self) -> list[BaseException]:
        """What went wrong as the user would be told."""
        return [frame.exception or RuntimeError(frame.error) for frame in self.of(ErrorFrame)]

    def expect_no_errors(self) -> None:
        """Raise BrokenError when something went wrong, although the settings are right."""
        expect(not self.errors, f"it tells of an error: {self._told()}")

    async def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait for something; False when it did not come in time."""
        return await until(condition, seconds)

    async def quiet(self, *types: type[Frame], seconds: float = 0.5, at_most: float = 30.0) -> None:
        """Wait until no frame of these types left for a while."""
        await until(lambda: not self.times(*types, since=time.monotonic() - seconds), at_most)

    async def cancel(self) -> None:
        """End the pipeline as when the user hangs up. Raises BrokenError when that takes too long."""
        if self._running is None:
            return
        began = time.monotonic()
        running, self._running = self._running, None
        await self._worker.cancel()
        done, _ = await asyncio.wait({running}, timeout=END_SECONDS)
        if not done:
            running.cancel()
            await asyncio.wait({running}, timeout=END_SECONDS)
            raise BrokenError(f"the pipeline does not end within {END_SECONDS:.0f} s of a CancelFrame")
        with contextlib.suppress(asyncio.CancelledError):
            running.result()
        self.ended_in = time.monotonic() - began

    def _note(self, frame: Frame, up: bool) -> None:
        self.seen.append(Seen(frame, time.monotonic(), up))

    def _told(self) -> str:
        return "; ".join(str(error) for error in self.errors)


@contextlib.asynccontextmanager
async def on_stage(character: CharacterContext, *processors: FrameProcessor) -> AsyncIterator[Stage]:
    """The processors in a running pipeline, which is cancelled at the end."""
    stage = Stage(processors, character)
    try:
        await stage.start()
        yield stage
    except BaseException:
        with contextlib.suppress(BrokenError):
            await stage.cancel()
        raise
    await stage.cancel()
