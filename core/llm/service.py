"""The Pipecat service that speaks for a character, whatever model it thinks with."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    StartFrame,
    UserStartedSpeakingFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings

from animacy.core.errors import AnimacyError
from animacy.core.llm.contract import ChatModel, Event, Grounds, Remote, Request, ToolCall, Usage
from animacy.core.llm.opening import Opening, Openings
from animacy.core.llm.prompt import Prompt
from animacy.core.llm.shaping import FENCE, Claims, Ending
from animacy.core.pipeline.frames import ForeseenTranscriptFrame, GroundedContextFrame, ResumedContextFrame
from animacy.core.pipeline.remote import RemoteError
from animacy.core.provider import CharacterContext

MOST_FAILURES = 3
"""Answers in a row that a server may fail to give before the conversation ends."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """An answer being written: to which request, what came so far, and how to stop it.

    The queue holds no more than the tokens one answer may have, then None.
    """

    request: Request
    arrived: asyncio.Queue[Event | None]
    stop: threading.Event
    writing: asyncio.Future[None]


class CharacterLLM(LLMService):
    """Answers each LLMContextFrame as the character, word by word; an interruption stops it at once.

    Parameters:
        model: writes the answers.
        prompt: what it reads.
        character: whose name, openings, tools and language count. Every answer begins with one of the openings, if
            there are any; the answer to a question with the next one, at once, before the model has written anything.
        max_sentences: an answer ends after so many.
    """

    supports_response_schema = True

    def __init__(
        self, model: ChatModel, prompt: Prompt, character: CharacterContext, *, max_sentences: int = 3
    ) -> None:
        super().__init__(
            settings=LLMSettings(
                model=model.name,
                system_instruction=None,
                temperature=None,
                max_tokens=character.max_answer_tokens,
                top_p=None,
                top_k=None,
                frequency_penalty=None,
                presence_penalty=None,
                seed=None,
                filter_incomplete_user_turns=False,
                user_turn_completion_config=None,
            )
        )
        self._chat = model
        self._prompt = prompt
        self._character = character
        self._openings = Openings(character.openings, character.language)
        self._max_sentences = max_sentences
        self._jobs: set[asyncio.Future[None]] = set()
        self._halt = threading.Event()  # of the answer under way
        self._answering = False
        self._draft: _Draft | None = None
        self._context: LLMContext | None = None
        self._failures = 0

    def can_generate_metrics(self) -> bool:
        """Time to the first token, processing time and token usage are reported."""
        return True

    async def load(self) -> None:
        """Make the model ready; may be called beforehand. Raises AnimacyError."""
        await self._chat.load()

    async def stand_by(self) -> None:
        """Stop what is being written: another service does the work."""
        self._halt.set()
        self._drop_draft()

    async def take_over(self) -> None:
        """Get ready again. Raises AnimacyError when the model is not."""
        await self.load()
        if isinstance(self._chat, Remote):
            await self._chat.check()
        self._failures = 0

    async def start(self, frame: StartFrame) -> None:
        """Load the model if nobody did, and start."""
        await self.load()
        await super().start(frame)

    async def cleanup(self) -> None:
        """Stop what is being written and let go of the model. May be called twice."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        self._halt.set()
        self._drop_draft()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self._chat.close()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer an LLMContextFrame, read and think ahead while the user speaks, pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, UserStartedSpeakingFrame):
            self._read_ahead()
        elif isinstance(frame, ForeseenTranscriptFrame):
            self._think_ahead(frame)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        try:
            await self.push_frame(LLMFullResponseStartFrame())
            await self.start_processing_metrics()
            await self._answer(frame)
            self._failures = 0
        except RemoteError as error:
            self._failures += 1
            gives_up = error.lasts or self._failures >= MOST_FAILURES
            await self.push_error(
                str(error), exception=error, category=error.category, force_treat_as_permanent=gives_up
            )
        except AnimacyError as error:
            await self.push_error(str(error), exception=error)
        finally:
            await self.stop_processing_metrics()
            await self.push_frame(LLMFullResponseEndFrame())

    async def run_inference(
        self,
        context: LLMContext,
        max_tokens: int | None = None,
        system_instruction: str | None = None,
        response_schema: dict[str, Any] | None = None,
    ) -> str | None:
        """Answer once outside the conversation, following a JSON schema if one is given. Raises AnimacyError."""
        messages = _dicts(context)
        if system_instruction:
            messages.insert(0, {"role": "system", "content": system_instruction})
        await self.load()
        limit = max_tokens or self._character.max_answer_tokens
        return await self._chat.infer(messages, limit, response_schema) or None

    def _begin(self, request: Request) -> _Draft:
        """Start to write; what comes arrives in the draft's queue."""
        arrived: asyncio.Queue[Event | None] = asyncio.Queue()
        stop = threading.Event()

        async def write() -> None:
            async with contextlib.aclosing(self._chat.stream(request, stop)) as events:  # type: ignore[type-var]
                async for event in events:
                    arrived.put_nowait(event)

        writing = self._work_on(write())
        writing.add_done_callback(lambda _: arrived.put_nowait(None))
        return _Draft(request, arrived, stop, writing)

    def _work_on(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        """Let it work beside; its failure is told to whoever awaits it, if anybody does."""
        job = asyncio.ensure_future(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        job.add_done_callback(lambda done: done.cancelled() or done.exception())
        return job

    def _read_ahead(self) -> None:
        """Read the conversation so far while the user speaks: not all in it need be as the model wrote it."""
        if self._answering or self._draft is not None or self._context is None:
            return
        self._work_on(self._chat.read(self._prompt.messages(_dicts(self._context))))

    def _think_ahead(self, foreseen: ForeseenTranscriptFrame) -> None:
        """Begin to answer what the user will probably have said. Nobody hears of it until the turn has ended so."""
        if self._answering:
            return
        if not foreseen.text:  # it was no speech
            self._drop_draft()
            return
        conversation = [*(_dicts(self._context) if self._context is not None else ()), *foreseen.notes]
        request = self._request([*conversation, {"role": "user", "content": foreseen.text}], foreseen.grounds)
        if self._draft is not None and self._draft.request == request:
            return
        self._drop_draft()
        self._draft = self._begin(request)

    def _request(self, conversation: Sequence[dict[str, Any]], grounds: Grounds) -> Request:
        """What the model reads for the next answer, and how that begins."""
        messages = self._prompt.messages(conversation)
        tools, limit = tuple(self._character.tools), self._character.max_answer_tokens
        request = Request(messages, tools=tools, grounds=grounds, max_tokens=limit)
        last = messages[-1]
        if last["role"] != "user" or not isinstance(last["content"], str):
            return request
        if opening := self._openings.answering(last["content"]):
            return replace(request, opening=opening)
        if grounds.answer is not None or not self._chat.chooses_openings:
            return request
        return replace(request, choices=self._openings.choices)

    def _drop_draft(self) -> None:
        if self._draft is not None:
            self._draft.stop.set()
            self._draft = None

    def _take_draft(self, frame: LLMContextFrame) -> _Draft:
        """The draft that answers just this, or a new one."""
        grounds = frame.grounds if isinstance(frame, GroundedContextFrame) else Grounds()
        request = self._request(_dicts(frame.context), grounds)
        if isinstance(frame, ResumedContextFrame):
            request = replace(request, opening=frame.said, choices=())
        if self._draft is not None and self._draft.request != request:
            self._drop_draft()
        draft, self._draft = self._draft or self._begin(request), None
        return draft

    async def _answer(self, frame: LLMContextFrame) -> None:
        context = self._context = frame.context
        self._answering = True
        draft = self._take_draft(frame)
        self._halt = draft.stop
        await self.start_ttfb_metrics()
        try:
            usage, calls = await self._speak(draft, begun=isinstance(frame, ResumedContextFrame))
        finally:
            self._answering = False
            draft.stop.set()
            if not draft.writing.done():
                draft.writing.cancel()
        await self._note_usage(usage)
        await self.run_function_calls(
            [
                FunctionCallFromLLM(
                    function_name=call.name, tool_call_id=call.id, arguments=call.arguments, context=context
                )
                for call in calls
            ]
        )

    async def _speak(self, draft: _Draft, *, begun: bool) -> tuple[Usage | None, list[ToolCall]]:
        """Say the answer as it comes, as the character would. Returns what it cost, and the tools it wants.

        `begun`: its opening was said already.
        """
        request = draft.request
        opening = Opening(request.choices, request.opening)
        sentences = self._max_sentences + bool(request.choices)
        claims, ending = Claims(self._character.name), Ending(request.max_tokens, sentences)
        usage: Usage | None = None
        calls: list[ToolCall] = []
        tokens = 0
        try:
            if request.opening and not begun:
                # The space tells the voice that the sentence is over.
                await self._say(request.opening + " ")
            while (event := await draft.arrived.get()) is not None:
                if isinstance(event, Usage):
                    usage = event
                    continue
                if not tokens:
                    await self.stop_ttfb_metrics()
                tokens += 1
                if isinstance(event, ToolCall):
                    calls.append(event)
                elif not ending.done:
                    if FENCE not in event:
                        await self._say(ending.feed(claims.feed(opening.feed(event)), tokens))
                    if FENCE in event or ending.done:
                        draft.stop.set()
            await draft.writing
        finally:
            self._openings.said(opening.said)
        if not ending.done:
            await self._say(ending.feed(claims.feed(opening.finish()) + claims.finish(), tokens))
            await self._say(ending.finish(cut_off=usage is not None and usage.cut_off))
        return usage, calls

    async def _note_usage(self, usage: Usage | None) -> None:
        if usage is not None:
            logger.debug(f"{self}: {usage.written} tokens, read {usage.prompt - usage.cached} of {usage.prompt}")
            await self.start_llm_usage_metrics(
                LLMTokenUsage(
                    prompt_tokens=usage.prompt,
                    completion_tokens=usage.written,
                    total_tokens=usage.prompt + usage.written,
                    cache_read_input_tokens=usage.cached,
                )
            )

    async def _say(self, text: str) -> None:
        if text:
            await self._push_llm_text(text)


def _dicts(context: LLMContext) -> list[dict[str, Any]]:
    """The messages without those of some vendor's own kind."""
    return [dict(message) for message in context.get_messages() if isinstance(message, dict)]
