"""The Pipecat service around the runtime."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, cast

from loguru import logger
from pipecat.frames.frames import (
    Frame,
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

from animacy.core.errors import ModelError
from animacy.core.pipeline.frames import ForeseenTranscriptFrame
from animacy.core.shared import Share
from animacy.plugins.llama.opening import GOES_ON, Opening, Openings, grammar
from animacy.plugins.llama.prompt import Message, Prompt
from animacy.plugins.llama.runtime import Runtime, Usage
from animacy.plugins.llama.shaping import FENCE, Claims, Ending


@dataclass(frozen=True, slots=True)
class _Draft:
    """An answer being written: to which messages, the texts so far, and how to stop it.

    `opening` was said for the model, as the last of the messages; otherwise it begins with one of `choices`, if there
    are any. The queue holds no more than the tokens one answer may have.
    """

    messages: list[Message]
    opening: str | None
    choices: tuple[str, ...]
    arrived: asyncio.Queue[str | None]
    stop: threading.Event
    writing: asyncio.Future[Usage | None]


class LlamaLLM(LLMService):
    """Answers each LLMContextFrame as the character, token by token; an interruption stops it within a token.

    Parameters:
        runtime: the model.
        prompt: what it reads.
        name: the character's, for answers about itself.
        openings: every answer begins with one of these, if there are any; the answer to a question with the next one,
            at once, before the model has written anything.
        language: BCP 47 tag, to tell what is a question.
        max_tokens: an answer is cut off after so many, at the end of a sentence.
        max_sentences: an answer ends after so many.
        temperature, top_p, seed: sampling.
    """

    supports_response_schema = True

    def __init__(
        self,
        runtime: Share[Runtime],
        prompt: Prompt,
        *,
        model: str,
        name: str,
        openings: Sequence[str] = (),
        language: str = "en-US",
        max_tokens: int = 96,
        max_sentences: int = 3,
        temperature: float = 0.4,
        top_p: float = 0.9,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            settings=LLMSettings(
                model=model,
                system_instruction=None,
                temperature=temperature,
                max_tokens=max_tokens,
                top_p=top_p,
                top_k=None,
                frequency_penalty=None,
                presence_penalty=None,
                seed=seed,
                filter_incomplete_user_turns=False,
                user_turn_completion_config=None,
            )
        )
        self._runtime = runtime
        self._prompt = prompt
        self._character = name
        self._openings = Openings(openings, language)
        self._max_sentences = max_sentences
        self._jobs: set[asyncio.Future[Usage | None]] = set()
        self._halt = threading.Event()  # of the answer under way
        self._answering = False
        self._draft: _Draft | None = None
        self._context: LLMContext | None = None

    def can_generate_metrics(self) -> bool:
        """Time to the first token, processing time and token usage are reported."""
        return True

    async def load(self) -> None:
        """Take a share in the model with the persona read, loading it if nobody has; may be called beforehand.

        Raises ModelError.
        """
        await self._runtime.load()

    async def start(self, frame: StartFrame) -> None:
        """Load the model if nobody did, and start."""
        await self.load()
        await super().start(frame)

    async def cleanup(self) -> None:
        """Stop what is being written and give the share in the model back. May be called twice."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        self._halt.set()
        self._drop_draft()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self._runtime.release()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer an LLMContextFrame, read and think ahead while the user speaks, pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, UserStartedSpeakingFrame):
            self._read_ahead()
        elif isinstance(frame, ForeseenTranscriptFrame):
            self._think_ahead(frame.text)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        try:
            await self.push_frame(LLMFullResponseStartFrame())
            await self.start_processing_metrics()
            await self._answer(frame.context)
        except ModelError as error:
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
        """Answer once outside the conversation, following a JSON schema if one is given. Raises ModelError."""
        messages = _dicts(context)
        if system_instruction:
            messages.insert(0, {"role": "system", "content": system_instruction})
        options = self._options(max_tokens)
        await self.load()
        if response_schema is not None:
            schema = {"name": "response", "schema": response_schema}
            options["response_format"] = {"type": "json_schema", "json_schema": schema}
        parts: list[str] = []
        await self._write(cast("list[Message]", messages), parts.append, threading.Event(), options)
        return "".join(parts) or None

    def _options(self, max_tokens: int | None = None) -> dict[str, Any]:
        settings = self._settings
        options = {
            "max_tokens": max_tokens or settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "seed": settings.seed,
            "repeat_penalty": 1.05,
        }
        return {key: value for key, value in options.items() if value is not None}

    async def _write(
        self, messages: list[Message], on_text: Any, stop: threading.Event, options: dict[str, Any]
    ) -> Usage | None:
        runtime = self._runtime.value

        def job() -> Usage | None:
            return None if stop.is_set() else runtime.write(messages, on_text, stop, **options)

        try:
            return await self._runtime.run(job)
        except asyncio.CancelledError:
            stop.set()
            raise

    def _begin(self, messages: list[Message], opening: str | None) -> _Draft:
        """Start to write; the texts arrive in the draft's queue, None after the last one."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[str | None] = asyncio.Queue()
        stop = threading.Event()
        choices = () if opening else self._openings.choices

        def on_text(text: str) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, text)

        options = self._options()
        if opening or choices:
            options["grammar"] = GOES_ON if opening else grammar(choices)
        writing = self._work_on(self._write(messages, on_text, stop, options))
        writing.add_done_callback(lambda _: arrived.put_nowait(None))
        return _Draft(messages, opening, choices, arrived, stop, writing)

    def _work_on(self, work: Coroutine[Any, Any, Usage | None]) -> asyncio.Future[Usage | None]:
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
        messages = self._prompt.messages(_dicts(self._context))
        self._work_on(self._write(messages, lambda _: None, threading.Event(), {"max_tokens": 1}))

    def _think_ahead(self, text: str) -> None:
        """Begin to answer what the user will probably have said. Nobody hears of it until the turn has ended so."""
        if self._answering:
            return
        if not text:  # it was no speech
            self._drop_draft()
            return
        conversation = _dicts(self._context) if self._context is not None else []
        messages, opening = self._request([*conversation, {"role": "user", "content": text}])
        if self._draft is not None and self._draft.messages == messages:
            return
        self._drop_draft()
        self._draft = self._begin(messages, opening)

    def _request(self, conversation: Sequence[dict[str, Any]]) -> tuple[list[Message], str | None]:
        """What the model reads for the next answer, and how that begins if this is already decided."""
        messages = self._prompt.messages(conversation)
        last = messages[-1]
        opening = self._openings.answering(last["content"]) if last["role"] == "user" else None
        if opening:
            messages.append({"role": "assistant", "content": opening})
        return messages, opening

    def _drop_draft(self) -> None:
        if self._draft is not None:
            self._draft.stop.set()
            self._draft = None

    def _take_draft(self, context: LLMContext) -> _Draft:
        """The draft that answers just this, or a new one."""
        messages, opening = self._request(_dicts(context))
        if self._draft is not None and self._draft.messages != messages:
            self._drop_draft()
        draft, self._draft = self._draft or self._begin(messages, opening), None
        return draft

    async def _answer(self, context: LLMContext) -> None:
        self._context = context
        self._answering = True
        draft = self._take_draft(context)
        opening = Opening(draft.choices, draft.opening)
        sentences = self._max_sentences + bool(draft.choices)
        claims, ending = Claims(self._character), Ending(self._options()["max_tokens"], sentences)
        self._halt = draft.stop
        await self.start_ttfb_metrics()
        tokens = 0
        try:
            if draft.opening:
                # The space tells the voice that the sentence is over.
                await self._say(draft.opening + " ")
            while (text := await draft.arrived.get()) is not None:
                tokens += 1
                if tokens == 1:
                    await self.stop_ttfb_metrics()
                if FENCE in text:
                    break
                await self._say(ending.feed(claims.feed(opening.feed(text)), tokens))
                if ending.done:
                    break
            draft.stop.set()
            usage = await draft.writing
        finally:
            self._answering = False
            self._openings.said(opening.said)
            draft.stop.set()
            if not draft.writing.done():
                draft.writing.cancel()
        if not ending.done:
            await self._say(ending.feed(claims.feed(opening.finish()) + claims.finish(), tokens))
            await self._say(ending.finish(cut_off=usage is not None and usage.cut_off))
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
