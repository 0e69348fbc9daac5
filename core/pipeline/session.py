"""One conversation with whoever is at the other end of a transport, from the first load to the report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal, cast

from pipecat.frames.frames import ErrorFrame, TTSSpeakFrame
from pipecat.pipeline.worker import PipelineParams, PipelineWorker, ProcessorUnusablePolicy
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frameworks.rtvi import RTVIObserverParams
from pipecat.workers.runner import WorkerRunner

from animacy.core.errors import AnimacyError
from animacy.core.pipeline.beside import Beside
from animacy.core.pipeline.frames import ServiceSwitchedFrame
from animacy.core.pipeline.loading import Note, Products
from animacy.core.pipeline.metrics import Metrics
from animacy.core.pipeline.pipeline import Parts, build_pipeline
from animacy.core.pipeline.processor import CharacterVideoProcessor
from animacy.core.pipeline.remote import RemoteError
from animacy.core.pipeline.timeline import Timeline
from animacy.core.pipeline.transport import LiveTransport, Transport
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import LoadedRecipe
from animacy.core.report import FilmReport, FrameCounts, ModelReport, Report, SwitchReport, TurnReport

RTVI = RTVIObserverParams(system_logs_enabled=False, metrics_enabled=False, bot_llm_enabled=True)
"""What a live client is told as RTVI messages."""

KEPT_SWITCHES = 200
"""Of one conversation, for its report."""

Ended = Literal["done", "interrupted", "no speech", "no answer", "time limit"]


@dataclass(slots=True, eq=False)
class Session:
    """A conversation with a character. `run` may be awaited once; `stop` ends it early from a signal handler.

    `note` is called with a line for every step of the start, since people wait for it.
    """

    loaded: LoadedRecipe
    plugins: Plugins
    transport: Transport
    note: Note = print
    metrics: Metrics = field(default_factory=Metrics)
    start_up: dict[str, float] = field(default_factory=dict)
    _beside: Beside = field(init=False)
    _products: Products | None = None
    _number: int = 0
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _errors: list[BaseException] = field(default_factory=list)
    _switches: list[SwitchReport] = field(default_factory=list)
    _failed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._beside = Beside(self.loaded, self.transport)

    def stop(self) -> None:
        """End the conversation; what was filmed is kept."""
        self._stop.set()

    async def run(self) -> Report:
        """Hold the conversation. Raises AnimacyError when a part cannot be loaded or fails for good."""
        parts: Parts | None = None
        ended = "failed"
        self._number = self.metrics.session_started(self.loaded.recipe.transport.plugin)
        try:
            await self.transport.open(self.loaded.recipe.video.video_format())
            parts = await self._until_stopped(self._load())
            self.metrics.frames(parts.video.runner.stats, self._number)
            report = await self._converse(parts)
            ended = report.ended
            return report
        finally:
            if parts is not None:
                await parts.video.runner.close()
            if self._products is not None:
                await self._products.close_beside()
            await self.transport.close()
            self.metrics.session_ended(self._number, ended)

    async def _load(self) -> Parts:
        products = self._products = Products(self.loaded, self.note, self._beside.tell)
        try:
            await products.load()
        except BaseException:
            await products.close()
            raise
        self.start_up = products.seconds
        video = CharacterVideoProcessor(products.renderer, self.loaded.recipe.video.video_format())
        return Parts(
            transport=self.transport,
            stt=products.stt,
            llm=products.llm,
            tts=products.tts,
            video=video,
            sources=self._beside.sources(products),
            tools=self._beside.tools(products),
        )

    async def _converse(self, parts: Parts) -> Report:
        transport, recipe = parts.transport, self.loaded.recipe
        live = transport if isinstance(transport, LiveTransport) else None
        speech_end = getattr(transport, "speech_end", None)
        began = time.monotonic()
        timeline = Timeline(
            speech_end,
            fps=self.loaded.recipe.video.fps,
            openings=self.loaded.recipe.character.openings,
            on_turn=self._note_turn,
            on_switch=self._note_switch,
            on_first_frame=lambda: self.metrics.first_frame(time.monotonic() - began, self._number),
        )
        context = LLMContext()
        worker = PipelineWorker(
            build_pipeline(parts, recipe.turn_taking, context, language=recipe.character.language),
            params=PipelineParams(
                audio_in_sample_rate=self.loaded.context().input_sample_rate,
                audio_out_sample_rate=self.loaded.context().sample_rate,
                enable_metrics=True,
            ),
            observers=[timeline],
            enable_rtvi=live is not None,
            rtvi_observer_params=RTVI,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
            processor_unusable_policy=ProcessorUnusablePolicy.CONTINUE,
        )
        self._listen_for_errors(worker)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        started = datetime.now(UTC)
        running = asyncio.create_task(runner.run(), name="pipeline")
        try:
            greeting = self.loaded.recipe.character.greeting
            if transport.greets and greeting:
                await worker.queue_frame(TTSSpeakFrame(greeting))
            ended = await self._wait(transport, running)
        finally:
            await worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await parts.video.runner.close()
            await transport.close()
        if self._errors:
            raise self._errors[0]
        return await self._report(parts, timeline, ended, started, time.monotonic() - began)

    def _note_turn(self, turn: TurnReport) -> None:
        turn = self._beside.end_turn(turn)
        self.metrics.turn(turn, self._number)
        if isinstance(self.transport, LiveTransport):
            self.transport.note_turn(turn)

    def _note_switch(self, switched: ServiceSwitchedFrame, at: float) -> None:
        role, left, entered, why = switched.role, switched.left, switched.entered, switched.why
        self.note(f"warning: {role}: {why}; {entered} takes over" if why else f"{role}: {entered} is back")
        self.metrics.switched(role, failed=bool(why))
        if len(self._switches) < KEPT_SWITCHES:
            self._switches.append(SwitchReport(at=round(at, 3), role=role, left=left, entered=entered, why=why))

    def _listen_for_errors(self, worker: PipelineWorker) -> None:
        async def on_pipeline_error(_: PipelineWorker, frame: ErrorFrame) -> None:
            permanent = frame.processor is not None and not frame.processor.is_usable
            known = frame.exception if isinstance(frame.exception, AnimacyError) else None
            passing = known is None or (isinstance(known, RemoteError) and not known.lasts)
            if passing and not permanent:
                self.note(f"warning: {frame.error}")
                return
            self._errors.append(known or AnimacyError(frame.error))
            self._failed.set()

        worker.add_event_handler("on_pipeline_error", on_pipeline_error)

    async def _until_stopped(self, work: Any) -> Any:
        """Await work, but give up at once when the user stops."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        raise KeyboardInterrupt

    async def _wait(self, transport: Transport, running: asyncio.Task[None]) -> Ended:
        limit = self.loaded.recipe.limits.max_duration
        waits: dict[str, asyncio.Task[Any]] = {
            "done": asyncio.create_task(transport.wait_done()),
            "interrupted": asyncio.create_task(self._stop.wait()),
            "failed": asyncio.create_task(self._failed.wait()),
        }
        try:
            done, _ = await asyncio.wait({*waits.values(), running}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if running in done:
                running.result()
            if not done:
                return "time limit"
            if waits["interrupted"] in done:
                return "interrupted"
            if waits["done"] in done:
                waits["done"].result()
            return cast(Ended, getattr(transport, "outcome", "done"))
        finally:
            for task in waits.values():
                task.cancel()
            await asyncio.gather(*waits.values(), return_exceptions=True)

    async def _report(
        self, parts: Parts, timeline: Timeline, ended: Ended, started: datetime, seconds: float
    ) -> Report:
        stats = parts.video.runner.stats
        film = await asyncio.to_thread(self._film, parts.transport)
        return Report(
            recipe=self.loaded.path.name,
            character=self.loaded.recipe.character.name,
            started=started.isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            ended=ended,
            start_up=self.start_up,
            turns=[self._beside.annotated(turn) for turn in timeline.reports()],
            switches=self._switches,
            frames=FrameCounts(
                sent=stats.sent,
                late=stats.late,
                repeated=stats.repeated,
                dropped=stats.dropped,
                stalls=stats.stalls,
                worst_delay_ms=round(1000 * stats.worst_delay, 1),
            ),
            film=film,
            models=self._models(),
            machine=machine(),
        ).with_medians()

    def _film(self, transport: Transport) -> FilmReport | None:
        measure = getattr(transport, "measure", None)
        measured = measure() if measure else None
        if measured is None:
            return None
        offset = measured.audio_video_offset
        return FilmReport(
            path=str(getattr(self.loaded.chosen["transport"].settings, "output", "")),
            width=measured.width,
            height=measured.height,
            fps=measured.fps,
            frames=measured.frames,
            seconds=round(measured.seconds, 3),
            longest_gap_ms=round(1000 * measured.longest_gap, 2),
            audio_video_offset_ms=None if offset is None else round(1000 * offset, 2),
        )

    def _models(self) -> list[ModelReport]:
        versions = {provider.name: plugin.version for plugin in self.plugins.loaded for _, provider in plugin.providers}
        rows = []
        for choice in self.loaded.choices:
            role, provider = choice.role, choice.provider
            version = versions.get(provider.name, "")
            models = provider.models(choice.settings)
            rows += [
                ModelReport(role=role, plugin=provider.name, version=version, model=model.name) for model in models
            ]
            if not models:
                rows.append(ModelReport(role=role, plugin=provider.name, version=version))
        return rows


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "animacy": metadata.version("animacy"),
        "pipecat": metadata.version("pipecat-ai"),
    }
