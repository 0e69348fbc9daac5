"""The Pipecat service around the runtime."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from loguru import logger
from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    StartFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings

from animacy.core.errors import ModelError
from animacy.core.pipeline.frames import ForeseenTranscriptFrame
from animacy.core.threads import worker
from animacy.plugins.llama.opening import Opening, grammar
from animacy.plugins.llama.prompt import Message, Prompt
from animacy.plugins.llama.runtime import Runtime, Usage
from animacy.plugins.llama.shaping import FENCE, Claims, Ending


@dataclass(frozen=True, slots=True)
class _Draft:
    """An answer being written: to which messages, the texts so far, and how to stop it.

    The queue holds no more than the tokens one answer may have.
    """

    messages: list[Message]
    arrived: asyncio.Queue[str | None]
    stop: threading.Event
    writing: asyncio.Future[Usage | None]


class LlamaLLM(LLMService):
    """Answers each LLMContextFrame as the character, token by token; an interruption stops it within a token.

    Parameters:
        runtime: the model.
        prompt: what it reads.
        name: the character's, for answers about itself.
        openings: every answer begins with one of these, if there are any.
        max_tokens: an answer is cut off after so many, at the end of a sentence.
        max_sentences: an answer ends after so many.
        temperature, top_p, seed: sampling.
    """

    supports_response_schema = True

    def __init__(
        self,
        runtime: Runtime,
        prompt: Prompt,
        *,
        name: str,
        openings: Sequence[str] = (),
        max_tokens: int = 96,
        max_sentences: int = 3,
        temperature: float = 0.4,
        top_p: float = 0.9,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            settings=LLMSettings(
                model=runtime.model.name,
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
        self._openings = tuple(openings)
        self._max_sentences = max_sentences
        self._worker = worker("llama")
        self._halt = threading.Event()  # of the answer under way
        self._answering = False
        self._draft: _Draft | None = None
        self._context: LLMContext | None = None
        self._warm = False

    def can_generate_metrics(self) -> bool:
        """Time to the first token, processing time and token usage are reported."""
        return True

    async def load(self) -> None:
        """Load the model and read the persona, off the event loop; may be called before the pipeline starts.

        Raises ModelError.
        """
        if not self._warm:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._load)
            self._warm = True

    def _load(self) -> None:
        self._runtime.load()
        hello: Message = {"role": "user", "content": "Hello."}
        self._runtime.write([*self._prompt.prefix, hello], lambda _: None, threading.Event(), max_tokens=1)

    async def start(self, frame: StartFrame) -> None:
        """Load the model if nobody did, and start."""
        await self.load()
        await super().start(frame)

    async def cleanup(self) -> None:
        """Stop what is being written and free the model. May be called twice."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        self._halt.set()
        self._drop_draft()
        # The model must not be freed under a thread that writes with it: the last job of that thread frees it.
        try:
            self._worker.submit(self._runtime.close)
        except RuntimeError:
            return  # shut down before
        self._worker.shutdown(wait=False)
        self._warm = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer an LLMContextFrame, think ahead at a ForeseenTranscriptFrame, pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, ForeseenTranscriptFrame):
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
        messages = [dict(message) for message in context.get_messages() if isinstance(message, dict)]
        if system_instruction:
            messages.insert(0, {"role": "system", "content": system_instruction})
        options = self._options(max_tokens)
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
        def job() -> Usage | None:
            return None if stop.is_set() else self._runtime.write(messages, on_text, stop, **options)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, job)
        except asyncio.CancelledError:
            stop.set()
            raise

    def _begin(self, messages: list[Message]) -> _Draft:
        """Start to write; the texts arrive in the draft's queue, None after the last one."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[str | None] = asyncio.Queue()
        stop = threading.Event()

        def on_text(text: str) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, text)

        options = self._options()
        if self._openings:
            options["grammar"] = grammar(self._openings)
        writing = asyncio.ensure_future(self._write(messages, on_text, stop, options))
        writing.add_done_callback(lambda _: arrived.put_nowait(None))
        return _Draft(messages, arrived, stop, writing)

    def _think_ahead(self, text: str) -> None:
        """Begin to answer what the user will probably have said. Nobody hears of it until the turn has ended so."""
        if self._answering:
            return
        conversation = self._context.get_messages() if self._context is not None else []
        said = [*(m for m in conversation if isinstance(m, dict)), {"role": "user", "content": text}]
        messages = self._prompt.messages(said)
        if self._draft is not None and self._draft.messages == messages:
            return
        self._drop_draft()
        self._draft = self._begin(messages)

    def _drop_draft(self) -> None:
        if self._draft is not None:
            self._draft.stop.set()
            self._draft = None

    def _take_draft(self, messages: list[Message]) -> _Draft:
        """The draft that answers just this, or a new one."""
        if self._draft is not None and self._draft.messages != messages:
            self._drop_draft()
        draft, self._draft = self._draft or self._begin(messages), None
        return draft

    async def _answer(self, context: LLMContext) -> None:
        self._context = context
        self._answering = True
        draft = self._take_draft(self._prompt.messages([m for m in context.get_messages() if isinstance(m, dict)]))
        max_tokens = self._options()["max_tokens"]
        opening = Opening(self._openings)
        claims, ending = Claims(self._character), Ending(max_tokens, self._max_sentences + bool(self._openings))
        self._halt = draft.stop
        await self.start_ttfb_metrics()
        tokens = 0
        try:
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
