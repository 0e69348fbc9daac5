"""Language models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from pipecat.frames.frames import (
    ErrorFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService

from animacy.testing.bench import Bench
from animacy.testing.roles.services import close, comes_back, load, passes_on
from animacy.testing.rule import NotJudgedError, Rule, Suite, expect
from animacy.testing.stage import Stage, on_stage

QUESTION = "What is a lighthouse for? Explain it in two or three sentences."
STORY = "Tell me a long story about a lighthouse and its keeper."
LAST = "What colour is the sea?"
ANSWER_SECONDS = 60.0
READ_SECONDS = 150.0
"""For an answer to a long conversation, which a model on a slow machine has to read first."""
STOP_SECONDS = 1.0
"""From an interruption to the last word: it would be spoken over the user."""
LATER_SECONDS = 0.5
"""For which it is watched that nothing more comes."""
TURNS = 150
"""Some four thousand tokens."""
LONG_ANSWER = 60
"""Characters. An answer this long has several words, and none of them needs to wait for the last."""


async def answers(bench: Bench) -> str | None:
    """The voice, the captions and the memory of the conversation are made of these frames."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        text = await _answer(stage, QUESTION)
        stage.expect_no_errors()
    kinds = [type(frame) for frame in stage.of(LLMFullResponseStartFrame, LLMTextFrame, LLMFullResponseEndFrame)]
    expect(kinds[0] is LLMFullResponseStartFrame, "the answer does not begin with an LLMFullResponseStartFrame")
    expect(kinds.count(LLMFullResponseEndFrame) == 1, "the answer does not end with one LLMFullResponseEndFrame")
    expect(kinds[-1] is LLMFullResponseEndFrame, "text comes after the LLMFullResponseEndFrame")
    bench.seen["answer"] = stage
    return text


async def streams(bench: Bench) -> str | None:
    """The voice begins with the first words while the last ones are not written yet."""
    stage: Stage | None = bench.seen.get("answer")
    if stage is None:
        raise NotJudgedError("there is no answer")
    pieces, times = [frame.text for frame in stage.of(LLMTextFrame) if frame.text], stage.times(LLMTextFrame)
    text = "".join(pieces)
    if len(text) < LONG_ANSWER:
        raise NotJudgedError(f"the answer is too short to come in pieces: {text!r}")
    expect(len(pieces) > 1, f"an answer of {len(text)} characters comes in one LLMTextFrame")
    return f"{len(pieces)} pieces in {times[-1] - times[0]:.2f} s"


async def stops(bench: Bench) -> str | None:
    """A user who interrupts is not spoken over, and is answered next."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await _ask(stage, STORY)
        await _until(stage, lambda: stage.of(LLMTextFrame), "no word of an answer")
        over = bool(stage.of(LLMFullResponseEndFrame))
        at = await stage.interrupt()
        await asyncio.sleep(STOP_SECONDS + LATER_SECONDS)
        late = stage.times(LLMTextFrame, since=at + STOP_SECONDS)
        expect(not late, f"words still come {late[-1] - at:.1f} s after an interruption" if late else "")
        last = max(stage.times(LLMTextFrame, since=at), default=at) - at
        stage.forget()
        await _answer(stage, LAST)
    if over:
        raise NotJudgedError("the answer was over before it could be interrupted; the next one came")
    return f"the last word came {last:.2f} s after the interruption"


async def hangs_up(bench: Bench) -> str | None:
    """The user leaves in the middle of an answer."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await _ask(stage, STORY)
        await _until(stage, lambda: stage.of(LLMTextFrame), "no word of an answer")
        await stage.cancel()
    return f"in {stage.ended_in:.2f} s"


async def remembers(bench: Bench) -> str | None:
    """A long conversation does not end because the model's window is full."""
    messages = [
        {"role": role, "content": f"{text} This was number {number}."}
        for number in range(TURNS)
        for role, text in (("user", "I saw a ship."), ("assistant", "It was a fine ship."))
    ]
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        return await _answer(stage, LAST, messages)


async def _answer(stage: Stage, question: str, before: Sequence[dict[str, str]] = ()) -> str:
    """Ask, and wait for all of the answer."""
    await _ask(stage, question, before)
    seconds = READ_SECONDS if before else ANSWER_SECONDS
    await _until(stage, lambda: stage.of(LLMFullResponseEndFrame), "no LLMFullResponseEndFrame", seconds)
    text = "".join(frame.text for frame in stage.of(LLMTextFrame))
    expect(text.strip(), f"the answer is empty{_told(stage)}")
    return text


async def _ask(stage: Stage, question: str, before: Sequence[dict[str, str]] = ()) -> None:
    context = LLMContext([*before, {"role": "user", "content": question}])  # type: ignore[list-item]
    await stage.send(LLMContextFrame(context))


async def _until(stage: Stage, condition: Any, missing: str, seconds: float = ANSWER_SECONDS) -> None:
    found = await stage.until(condition, seconds)
    expect(found, f"{missing} within {seconds:.0f} s{_told(stage)}")


def _told(stage: Stage) -> str:
    return "".join(f"\ntold: {error}" for error in stage.errors)


async def _use(bench: Bench, product: Any) -> Sequence[BaseException]:
    async with on_stage(bench.character, product) as stage:
        began = time.monotonic()
        await _ask(stage, LAST)
        await stage.until(lambda: stage.of(LLMFullResponseEndFrame), ANSWER_SECONDS)
        expect(
            stage.of(LLMFullResponseEndFrame),
            f"a failed answer has no LLMFullResponseEndFrame within {time.monotonic() - began:.0f} s: all others wait",
        )
        await stage.until(lambda: stage.of(ErrorFrame), 0.5)
        return stage.errors


SUITE = Suite(
    LLMService,
    "a Pipecat LLMService",
    load,
    close,
    (
        Rule("passes on what is not its own", passes_on),
        Rule("answers", answers),
        Rule("streams its answer", streams),
        Rule("stops when it is interrupted", stops),
        Rule("survives a long conversation", remembers),
        Rule("comes back after it was relieved", comes_back(lambda _, stage: _answer(stage, LAST))),
        Rule("ends when the user hangs up", hangs_up),
    ),
    use=_use,
    conversing=True,
)
