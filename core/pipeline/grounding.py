"""What the model is told besides the conversation, found out for each turn: documents, what is to be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    UserStartedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.errors import AnimacyError
from animacy.core.llm.contract import NO_GROUNDS, Grounds
from animacy.core.pipeline.frames import ForeseenTranscriptFrame, GroundedContextFrame

BEFORE = 3
"""Messages of the conversation that a source is told, for questions such as "and on Sundays?"."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a source found out for a turn.

    `note` is for the model to read, `grounds` what is known of the answer already.
    """

    note: str
    grounds: Grounds = NO_GROUNDS


class Source(Protocol):
    """Finds things out. One that has nothing to say to a turn returns None."""

    async def find(self, said: str, before: Sequence[str]) -> Finding | None:
        """Look for what helps to answer; `before` is what was said just before, oldest first."""
        ...

    async def settled(self, finding: Finding | None) -> None:
        """The turn is really answered with this finding of its own."""
        ...


@dataclass(frozen=True, slots=True)
class _Search:
    said: str
    task: asyncio.Task[list[Finding | None]]


class Grounding(FrameProcessor):
    """Stands before the llm and puts what its sources find before the user's words.

    A search begins with the foreseen transcript, so that it is done when the turn ends. The notes of a turn leave the
    conversation with the next one. A source that fails is left out.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__()
        self._sources = tuple(sources)
        self._placed: list[Any] = []
        self._context: LLMContext | None = None
        self._search: _Search | None = None
        self._foreseeing: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Add notes to what the llm is going to read; everything else passes."""
        await super().process_frame(frame, direction)
        if isinstance(frame, ForeseenTranscriptFrame | UserStartedSpeakingFrame):
            # The llm reads and thinks ahead from here: without what was found for the last turn.
            self._take_back()
        if isinstance(frame, ForeseenTranscriptFrame):
            await self._foresee(frame)
            return
        if isinstance(frame, LLMContextFrame) and direction is FrameDirection.DOWNSTREAM:
            frame = await self._ground(frame)
        elif isinstance(frame, InterruptionFrame | EndFrame | CancelFrame):
            await self._forget()
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        """Stop searching."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._forget()

    async def _foresee(self, frame: ForeseenTranscriptFrame) -> None:
        if not frame.text:
            await self._forget()
            await self.push_frame(frame)
            return
        await self._stop_foreseeing()
        search = self._searching(frame.text, _said_before(self._context))

        async def tell() -> None:
            notes, grounds = _together(await asyncio.shield(search))
            await self.push_frame(ForeseenTranscriptFrame(frame.text, tuple(notes), grounds))

        self._foreseeing = self.create_task(tell(), "foreseen")

    async def _ground(self, frame: LLMContextFrame) -> LLMContextFrame:
        context = self._context = frame.context
        self._take_back()
        messages = context.get_messages()
        said = _words(messages[-1]) if messages else ""
        if not said or not _is_users(messages[-1]):
            return frame
        findings = await asyncio.shield(self._searching(said, _said_before(messages)))
        self._search = None
        self._placed, grounds = _together(findings)
        context.set_messages([*messages[:-1], *self._placed, messages[-1]])
        for source, finding in zip(self._sources, findings, strict=True):
            await source.settled(finding)
        return GroundedContextFrame(context, frame.speculation, grounds) if self._placed else frame

    def _take_back(self) -> None:
        """Let the notes of the last turn leave the conversation."""
        if self._context is not None and self._placed:
            # Compared as they are, not by what they say: a user may say the same.
            placed, self._placed = self._placed, []
            left = [m for m in self._context.get_messages() if not any(m is note for note in placed)]
            self._context.set_messages(left)

    def _searching(self, said: str, before: Sequence[str]) -> asyncio.Task[list[Finding | None]]:
        if self._search is None or self._search.said != said or self._search.task.cancelled():
            if self._search is not None:
                self._search.task.cancel()
            found = asyncio.gather(*(self._ask(source, said, before) for source in self._sources))
            self._search = _Search(said, asyncio.ensure_future(_awaited(found)))
        return self._search.task

    async def _ask(self, source: Source, said: str, before: Sequence[str]) -> Finding | None:
        try:
            return await source.find(said, before)
        except AnimacyError as error:
            logger.warning(f"{type(source).__name__} failed: {error}")
            return None

    async def _stop_foreseeing(self) -> None:
        task, self._foreseeing = self._foreseeing, None
        if task is not None and not task.done():
            await self.cancel_task(task)

    async def _forget(self) -> None:
        await self._stop_foreseeing()
        search, self._search = self._search, None
        if search is not None:
            search.task.cancel()
            await asyncio.gather(search.task, return_exceptions=True)


async def _awaited(found: asyncio.Future[list[Finding | None]]) -> list[Finding | None]:
    return await found


def _together(findings: Sequence[Finding | None]) -> tuple[list[Any], Grounds]:
    found = [finding for finding in findings if finding is not None]
    notes = [{"role": "developer", "content": finding.note} for finding in found]
    # What one source knows exactly, another that found nothing must not deny.
    return notes, min((finding.grounds for finding in found), key=_vagueness, default=Grounds())


def _vagueness(grounds: Grounds) -> int:
    return 0 if grounds.answer is not None and grounds.unknown is None else 1 if grounds.answer is None else 2


def _is_users(message: Any) -> bool:
    return isinstance(message, Mapping) and message.get("role") == "user"


def _words(message: Any) -> str:
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, list):
        return " ".join(part["text"] for part in content if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def _said_before(messages: LLMContext | Sequence[Any] | None) -> list[str]:
    """The last words of both sides before the turn."""
    if isinstance(messages, LLMContext):
        messages = [*messages.get_messages(), None]
    spoken = [
        _words(message)
        for message in (messages or ())[:-1]
        if isinstance(message, Mapping) and message.get("role") in ("user", "assistant")
    ]
    return [words for words in spoken if words][-BEFORE:]
