"""A processor that holds several services of one role and lets one of them work."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    ServiceSwitcherRequestMetadataFrame,
    StartFrame,
    SystemFrame,
)
from pipecat.pipeline.base_pipeline import BasePipeline
from pipecat.pipeline.pipeline import Pipeline, PipelineSink, PipelineSource
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup

from animacy.core.errors import AnimacyError
from animacy.core.pipeline.fallback.work import Work
from animacy.core.pipeline.frames import RelievedFrame, ServiceSwitchedFrame
from animacy.core.pipeline.remote import RemoteError
from animacy.core.recipe import FallbackSection

LOOK_SECONDS = 0.1
MOST_INSIDE = 1000
STEADY_SECONDS = 60.0
"""A service that worked for so long before it failed is not one that always fails."""
LONGEST_REST = 300.0
"""Seconds. A service that fails whenever it is tried is tried more and more seldom, but so often."""

Lifecycle = StartFrame | EndFrame | CancelFrame

ToolFrame = FunctionCallInProgressFrame | FunctionCallResultFrame | FunctionCallCancelFrame
"""Who has begun to use a tool tells how that ends, whoever does the work by then."""


@runtime_checkable
class Relieved(Protocol):
    """A service that wants to know when another does its work, and when it is to do it again."""

    async def stand_by(self) -> None:
        """Let go of the connection and of what was under way."""
        ...

    async def take_over(self) -> None:
        """Get ready again. Raises AnimacyError when it cannot."""
        ...


@dataclass(slots=True, eq=False)
class Member:
    """A service of the list: its plugin's name, the pipeline around it, and how it fares.

    `well`: whether it may be given work. `since`: when it began its work (time.monotonic). `rest`: seconds until it is
    tried again. `inside`: ids of frames that went in and did not come out; some never do. `passed`: what begins or ends
    the pipeline and is on its way through.
    """

    name: str
    service: Any
    lane: Pipeline = field(init=False)
    well: bool = True
    started: bool = True
    since: float = 0.0
    rest: float = 0.0
    inside: OrderedDict[int, None] = field(default_factory=OrderedDict)
    passed: dict[int, asyncio.Event] = field(default_factory=dict)

    def enter(self, frame: Frame) -> None:
        """A frame goes in."""
        self.inside[frame.id] = None
        if len(self.inside) > MOST_INSIDE:
            self.inside.popitem(last=False)

    def leave(self, frame: Frame) -> bool:
        """A frame comes out: whether it is one that went in and that nothing may hold back."""
        went_in = frame.id in self.inside
        self.inside.pop(frame.id, None)
        return went_in and (isinstance(frame, SystemFrame) or not frame.interruptible)


class Fallback(BasePipeline):
    """Gives the work of a role to the first of its services that is well.

    What the working service fails at, or keeps somebody waiting for longer than `patience`, the next one does again
    from where it was left; a ServiceSwitchedFrame tells. One that failed rests, is tried again, and takes its work back
    between two turns.

    Parameters:
        role: stt, llm or tts.
        services: plugin names and services, best first; at least two.
        work: follows what is under way.
        section: patience and rest.
    """

    def __init__(self, role: str, services: Sequence[tuple[str, Any]], work: Work, section: FallbackSection) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        self._role, self._work, self._section = role, work, section
        self._members = [Member(name, service, rest=section.retry) for name, service in services]
        for member in self._members:
            member.lane = Pipeline(
                [member.service],
                source=PipelineSource(self._outlet(member)),
                sink=PipelineSink(self._outlet(member)),
            )
        self._active = self._members[0]
        self._switching = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._problems: list[str] = []
        self._seen: set[int] = set()
        self._nurses: set[asyncio.Task[None]] = set()

    @property
    def services(self) -> list[Any]:
        """All of them, best first."""
        return [member.service for member in self._members]

    @property
    def processors(self) -> list[FrameProcessor]:
        """The pipelines of the services."""
        return [member.lane for member in self._members]

    @property
    def entry_processors(self) -> list[FrameProcessor]:
        """Where frames enter."""
        return self.processors

    @property
    def is_usable(self) -> bool:
        """Whether any service is."""
        return any(member.service.is_usable for member in self._members)

    def processors_with_metrics(self) -> list[FrameProcessor]:
        """The services that measure."""
        return [processor for member in self._members for processor in member.lane.processors_with_metrics()]

    async def load(self) -> None:
        """Load all services. One that cannot be loaded is ill from the start.

        Raises the first one's AnimacyError when none can be loaded.
        """
        errors = []
        for member in self._members:
            try:
                if hasattr(member.service, "load"):
                    await member.service.load()
            except AnimacyError as error:
                errors.append(error)
                member.well = False
                self._problems.append(f"{self._role}: {member.name} is not ready: {error.args[0]}")
        if len(errors) == len(self._members):
            raise errors[0]
        self._active = next(member for member in self._members if member.well)

    @property
    def problems(self) -> list[str]:
        """What to tell of the services that could not be loaded."""
        return list(self._problems)

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as Pipecat's own do
        """Set up all services."""
        await super().setup(setup)
        self._setup_finished()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._setup_processors(self.processors, setup)

    async def cleanup(self) -> None:
        """Let go of all services. May be called twice."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        for task in [*self._nurses, *([self._watch] if self._watch else [])]:
            await self.cancel_task(task)
        self._watch = None
        await self._cleanup_processors(self.processors)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Give a frame to the service at work; what begins and ends the pipeline, to all."""
        await super().process_frame(frame, direction)
        if isinstance(frame, Lifecycle):
            await self._pass_through_all(frame, direction)
            return
        async with self._switching:
            self._work.given(frame)
            member = self._active
            member.enter(frame)
        await member.lane.queue_frame(frame, direction)

    # What comes out

    def _outlet(self, member: Member) -> Callable[[Frame, FrameDirection], Any]:
        async def out(frame: Frame, direction: FrameDirection) -> None:
            await self._came(member, frame, direction)

        return out

    async def _came(self, member: Member, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, Lifecycle):
            passed = member.passed.get(frame.id)
            if passed is not None:
                passed.set()
                return
        if isinstance(frame, ErrorFrame) and frame.processor is member.service and await self._failed(member, frame):
            return
        passes = member.leave(frame)
        if isinstance(frame, ServiceSwitcherRequestMetadataFrame):
            return
        if member is not self._active:
            if passes or isinstance(frame, ToolFrame):
                await self.push_frame(frame, direction)
        elif frame.id in self._seen:
            self._seen.discard(frame.id)
        elif self._work.came(frame):
            await self.push_frame(frame, direction)

    async def _pass_through_all(self, frame: Lifecycle, direction: FrameDirection) -> None:
        for member in self._members:
            member.passed[frame.id] = asyncio.Event()
            await member.lane.queue_frame(frame, direction)
        for member in self._members:
            await member.passed[frame.id].wait()
            del member.passed[frame.id]
        if isinstance(frame, StartFrame):
            self._watch = self._watch or self.create_task(self._look_after(), "watch")
            for member in self._members:
                if not member.well:
                    self._nurse(member)
        await self.push_frame(frame, direction)

    # Failing and getting well

    async def _failed(self, member: Member, frame: ErrorFrame) -> bool:
        """Whether nobody else need know: another service has taken over, or it was not at work."""
        if member.passed:
            # It fails while it is started, or ended, and does not pass that on: nobody must wait for it.
            member.started = False
            for passed in member.passed.values():
                passed.set()
        known = frame.exception if isinstance(frame.exception, RemoteError) else None
        if known is not None and known.retry_after is not None:
            member.rest = max(member.rest, known.retry_after)
        if member is self._active:
            return await self._relieve(member, known.args[0] if known is not None else frame.error)
        if member.well:
            member.well = False
            self._nurse(member)
        return True

    async def _look_after(self) -> None:
        """Notice a service that keeps somebody waiting, and one that may take its work back."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            since = self._work.waits_since()
            if since is not None and time.monotonic() - since > self._section.patience:
                await self._relieve(self._active, f"nothing came for {self._section.patience:.3g} s")
            best = self._best()
            if best is not None and self._work.idle() and self._members.index(best) < self._members.index(self._active):
                await self._return_to(best)

    async def _relieve(self, member: Member, why: str) -> bool:
        """Let the next one that is well do the work. False when there is none, or it has happened already."""
        async with self._switching:
            if member is not self._active:
                return True
            after = next((other for other in self._members if other.well and other is not member), None)
            if after is None:
                return False
            if time.monotonic() - member.since > STEADY_SECONDS:
                member.rest = self._section.retry
            member.well = False
            self._active, after.since = after, time.monotonic()
            left = self._work.hand_over()
            await self._announce(member, after, why, owing=left.owing)
            for frame in left.closing:
                await self.push_frame(frame)
            await self._begin(after)
            self._seen = set(left.seen)
            for frame in left.redo:
                await after.service.queue_frame(frame, FrameDirection.DOWNSTREAM)
        self._nurse(member)
        return True

    async def _return_to(self, member: Member) -> None:
        async with self._switching:
            if not self._work.idle():
                return
            left, self._active, member.since = self._active, member, time.monotonic()
            await self._begin(member)
            await self._announce(left, member, "", owing=False)

    async def _begin(self, member: Member) -> None:
        """What the turn's timing depends on differs from service to service."""
        await member.service.queue_frame(ServiceSwitcherRequestMetadataFrame(service=member.service))

    async def _announce(self, left: Member, entered: Member, why: str, *, owing: bool) -> None:
        await self.push_frame(ServiceSwitchedFrame(self._role, left.name, entered.name, why, owing))

    def _nurse(self, member: Member) -> None:
        if not member.started:
            return  # it cannot be started again
        task = self.create_task(self._get_well(member), f"rest of {member.name}")
        self._nurses.add(task)
        task.add_done_callback(self._nurses.discard)

    async def _get_well(self, member: Member) -> None:
        await member.service.queue_frame(RelievedFrame(), FrameDirection.DOWNSTREAM)
        if isinstance(member.service, Relieved):
            await member.service.stand_by()
        while not member.well:
            await asyncio.sleep(member.rest)
            member.rest = min(2 * member.rest, LONGEST_REST)
            with contextlib.suppress(AnimacyError):
                if isinstance(member.service, Relieved):
                    await member.service.take_over()
                elif hasattr(member.service, "load"):
                    await member.service.load()
                await member.service.set_usable(True)
                member.well = True

    def _best(self) -> Member | None:
        return next((member for member in self._members if member.well), None)
