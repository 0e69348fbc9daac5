"""A list of services: who fails is relieved, what was under way is finished by the next, and nothing is said twice."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker, ProcessorUnusablePolicy
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.workers.runner import WorkerRunner

from animacy.core.errors import AnimacyError
from animacy.core.pipeline.fallback.hearing import Hearing
from animacy.core.pipeline.fallback.speaking import Speaking
from animacy.core.pipeline.fallback.switch import Fallback
from animacy.core.pipeline.fallback.thinking import Thinking
from animacy.core.pipeline.frames import RelievedFrame, ResumedContextFrame, ServiceSwitchedFrame
from animacy.core.pipeline.remote import RemoteError
from animacy.core.recipe import FallbackSection

RATE = 16_000
BROKEN = RemoteError("the line broke", "see the network")


class Service(FrameProcessor):
    """Does what `work` does with each frame; knows what it was given."""

    def __init__(self, work=None, *, loads=True, starts=True):
        super().__init__()
        self.work, self.loads, self.starts = work, loads, starts
        self.given, self.relieved, self.taken_over = [], 0, 0

    async def load(self):
        if not self.loads:
            raise AnimacyError("it is not there", "bring it")

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame) and not self.starts:
            raise RuntimeError("it does not start")
        if isinstance(frame, RelievedFrame):
            self.relieved += 1
            return
        self.given.append(frame)
        if self.work is None or not await self.work(self, frame):
            await self.push_frame(frame, direction)

    async def fail(self):
        await self.push_error(str(BROKEN.args[0]), exception=BROKEN, category=BROKEN.category)

    def of(self, kind):
        return [frame for frame in self.given if isinstance(frame, kind)]


class Recovering(Service):
    """Wants to know when it is relieved."""

    async def stand_by(self):
        pass

    async def take_over(self):
        self.taken_over += 1
        if self.taken_over == 1:
            raise BROKEN


class Rest(FrameProcessor):
    """The rest of the pipeline: what came out."""

    def __init__(self):
        super().__init__()
        self.seen = []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        self.seen.append(frame)
        await self.push_frame(frame, direction)

    def of(self, *kinds):
        return [frame for frame in self.seen if isinstance(frame, kinds)]


class Line:
    """A running pipeline around a Fallback."""

    def __init__(self, fallback):
        self.fallback, self.rest, self.errors = fallback, Rest(), []
        self.worker = PipelineWorker(
            Pipeline([fallback, self.rest]),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            enable_turn_tracking=False,
            enable_rtvi=False,
            idle_timeout_secs=None,
            processor_unusable_policy=ProcessorUnusablePolicy.CONTINUE,
        )

        async def note(_, frame):
            self.errors.append(frame)

        self.worker.add_event_handler("on_pipeline_error", note)

    async def give(self, *frames, direction=FrameDirection.DOWNSTREAM):
        for frame in frames:
            await self.fallback.queue_frame(frame, direction)

    async def until(self, happened):
        async with asyncio.timeout(5):
            while not happened():  # noqa: ASYNC110  # frames tell nobody
                await asyncio.sleep(0.01)

    @property
    def switches(self):
        return [(frame.left, frame.entered) for frame in self.rest.of(ServiceSwitchedFrame)]


@contextlib.asynccontextmanager
async def running(role, work, *services, patience=5.0, retry=60.0):
    named = list(zip("abc", services, strict=False))
    line = Line(Fallback(role, named, work, FallbackSection(patience=patience, retry=retry)))
    await line.fallback.load()
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(line.worker)
    task = asyncio.create_task(runner.run())
    try:
        await line.until(lambda: line.rest.of(StartFrame))
        yield line
    finally:
        async with asyncio.timeout(5):
            await line.worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        left = {task.get_name() for task in asyncio.all_tasks()} - {asyncio.current_task().get_name()}
        assert not [name for name in left if "Fallback" in name or "Service" in name], left


def answers(*pieces, breaks=False, pause=0.0):
    """An llm that writes these pieces, and then the line breaks."""

    async def work(service, frame):
        if not isinstance(frame, LLMContextFrame):
            return False
        await service.push_frame(LLMFullResponseStartFrame())
        for piece in pieces:
            await asyncio.sleep(pause)
            await service.push_frame(LLMTextFrame(piece))
        if breaks:
            await service.fail()
        await service.push_frame(LLMFullResponseEndFrame())
        return True

    return work


def asked():
    return LLMContextFrame(LLMContext([{"role": "user", "content": "Who painted it?"}]))


async def test_an_answer_that_breaks_off_is_finished_by_the_next_llm():
    first, second = Service(answers("It was ", "Leo", breaks=True)), Service(answers("nardo."))
    async with running("llm", Thinking(), first, second) as line:
        await line.give(asked())
        await line.until(lambda: line.rest.of(LLMFullResponseEndFrame))
        assert line.switches == [("a", "b")]
        assert "".join(frame.text for frame in line.rest.of(LLMTextFrame)) == "It was Leonardo."
        assert len(line.rest.of(LLMFullResponseStartFrame)) == len(line.rest.of(LLMFullResponseEndFrame)) == 1
        (resumed,) = second.of(ResumedContextFrame)
        assert resumed.said == "It was Leo"
        await line.until(lambda: first.relieved)
        assert line.errors == [], "nobody need know but the metrics"
        await line.give(asked())
        await line.until(lambda: len(second.of(LLMContextFrame)) == 2)
        assert len(first.of(LLMContextFrame)) == 1


async def test_one_that_fails_while_it_waits_is_passed_over():
    first, second, third = Service(answers("It was ", breaks=True)), Service(answers("Me.")), Service(answers("Leo."))
    async with running("llm", Thinking(), first, second, third) as line:
        await second.fail()
        await line.until(lambda: second.relieved)
        assert line.switches == [] and line.errors == []
        await line.give(asked())
        await line.until(lambda: line.rest.of(LLMFullResponseEndFrame))
        assert line.switches == [("a", "c")]


@pytest.mark.parametrize("pieces", [(), ("Well, ",)])
async def test_an_llm_that_keeps_one_waiting_is_relieved(pieces):
    async def stuck(service, frame):
        if not isinstance(frame, LLMContextFrame):
            return False
        for piece in pieces:
            await service.push_frame(LLMTextFrame(piece))
        await asyncio.sleep(60)
        return True

    async with running("llm", Thinking(), Service(stuck), Service(answers("Leonardo.")), patience=0.3) as line:
        await line.give(asked())
        await line.until(lambda: line.rest.of(LLMFullResponseEndFrame))
        assert "".join(frame.text for frame in line.rest.of(LLMTextFrame)) == "".join(pieces) + "Leonardo."
        (switched,) = line.rest.of(ServiceSwitchedFrame)
        assert switched.why == "nothing came for 0.3 s" and switched.owing


async def test_a_slow_but_steady_answer_is_nobodys_failure():
    async with running("llm", Thinking(), Service(answers(*"steady", pause=0.2)), Service(), patience=0.6) as line:
        await line.give(asked())
        await line.until(lambda: line.rest.of(LLMFullResponseEndFrame))
        assert line.switches == []


async def test_the_last_one_tells_what_is_wrong():
    broken = [Service(answers(breaks=True)) for _ in range(3)]
    async with running("llm", Thinking(), *broken) as line:
        await line.give(asked())
        await line.until(lambda: line.errors)
        assert line.switches == [("a", "b"), ("b", "c")]
        assert line.errors[0].exception is BROKEN
        assert line.rest.of(LLMFullResponseEndFrame), "what waits for an end gets it"


def says(*, breaks_after=None):
    """A tts: each word is a piece of sound, and text behind it. `breaks_after`: so many words of its life."""
    count = 0
    text = ""

    async def say(service, words):
        nonlocal count
        await service.push_frame(TTSStartedFrame(context_id=str(id(words))))
        for word in words:
            if breaks_after is not None and count == breaks_after:
                await service.fail()
                return
            count += 1
            await service.push_frame(TTSAudioRawFrame(bytes(3200), RATE, 1, context_id=str(id(words))))
            await service.push_frame(TTSTextFrame(word, TextType.WORD, context_id=str(id(words))))
        await service.push_frame(TTSStoppedFrame(context_id=str(id(words))))

    async def work(service, frame):
        nonlocal text
        if isinstance(frame, LLMFullResponseStartFrame):
            text = ""
        elif isinstance(frame, LLMTextFrame):
            text += frame.text
            return True
        elif isinstance(frame, LLMFullResponseEndFrame):
            await say(service, text.split())
        elif isinstance(frame, TTSSpeakFrame):
            await say(service, frame.text.split())
            return True
        return False

    return work


def answer(*pieces):
    return LLMFullResponseStartFrame(), *(LLMTextFrame(piece) for piece in pieces), LLMFullResponseEndFrame()


async def test_what_was_not_spoken_yet_the_next_voice_says():
    first, second = Service(says(breaks_after=3)), Service(says())
    async with running("tts", Speaking(), first, second) as line:
        await line.give(*answer("It is «Puma», ", "with me; judge "), *answer("me then."))
        await line.give(TTSSpeakFrame("Bye now!", append_to_context=False))
        await line.until(lambda: len(line.rest.of(TTSTextFrame)) == 10)
        assert "".join(f"{frame.text} " for frame in line.rest.of(TTSTextFrame)) == (
            "It is «Puma», with me; judge me then. Bye now! "
        )
        assert not second.of(TTSSpeakFrame)[0].append_to_context
        ends = line.rest.of(LLMFullResponseStartFrame, LLMFullResponseEndFrame)
        assert [type(frame) for frame in ends] == 2 * [LLMFullResponseStartFrame, LLMFullResponseEndFrame]
        opened, closed = line.rest.of(TTSStartedFrame), line.rest.of(TTSStoppedFrame)
        assert [frame.context_id for frame in opened] == [frame.context_id for frame in closed], "one after the other"


async def test_a_voice_that_was_idle_has_nothing_to_hand_over():
    first, second = Service(says()), Service(says())
    async with running("tts", Speaking(), first, second) as line:
        await line.give(*answer("Hello."))
        await line.until(lambda: line.rest.of(TTSStoppedFrame))
        await first.fail()
        await line.until(lambda: line.switches)
        assert not line.rest.of(ServiceSwitchedFrame)[0].owing
        await line.give(*answer("Bye."))
        await line.until(lambda: len(line.rest.of(TTSTextFrame)) == 2)
        assert second.of(LLMTextFrame)[0].text == "Bye."


def hears(*, breaks_after=None):
    """An stt: at a pause it tells how much sound came since the last voice began. Breaks after so many pieces."""
    sound = []

    async def work(service, frame):
        if isinstance(frame, InputAudioRawFrame):
            sound.append(frame)
            if len(sound) == breaks_after:
                await service.fail()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            await service.push_frame(TranscriptionFrame(f"{len(sound)} pieces", "", ""))
            sound.clear()
        return False

    return work


def sound(pieces):
    return [InputAudioRawFrame(bytes(2 * RATE // 10), RATE, 1) for _ in range(pieces)]


async def test_the_sound_of_a_turn_is_heard_by_the_next_stt():
    first, second = Service(hears(breaks_after=20)), Service(hears())
    async with running("stt", Hearing(), first, second) as line:
        await line.give(*sound(15))
        await line.give(VADUserStartedSpeakingFrame(), direction=FrameDirection.UPSTREAM)
        await line.until(lambda: first.of(VADUserStartedSpeakingFrame))
        await line.give(*sound(10))
        await line.until(lambda: line.switches)
        await line.give(VADUserStoppedSpeakingFrame(), direction=FrameDirection.UPSTREAM)
        await line.until(lambda: line.rest.of(TranscriptionFrame))
        (heard,) = line.rest.of(TranscriptionFrame)
        assert heard.text == "20 pieces", "all of the voice, and a second before it"
        assert len(line.rest.of(InputAudioRawFrame)) == 25, "the rest of the pipeline hears everything once"


async def test_an_stt_that_says_nothing_after_a_pause_is_relieved():
    async with running("stt", Hearing(), Service(), Service(hears()), patience=0.3) as line:
        await line.give(VADUserStartedSpeakingFrame(), *sound(5), VADUserStoppedSpeakingFrame())
        await line.until(lambda: line.rest.of(TranscriptionFrame))
        assert line.rest.of(TranscriptionFrame)[0].text == "5 pieces"


async def test_what_is_kept_of_the_sound_is_bounded():
    hearing = Hearing()
    hearing.given(VADUserStartedSpeakingFrame())
    for frame in sound(1000):
        hearing.given(frame)
    assert len(hearing.hand_over().redo) <= 301


async def test_who_is_well_again_takes_the_work_back_between_two_turns():
    first, second = Recovering(answers(breaks=True)), Service(answers("Leo", "nardo", pause=0.6))
    async with running("llm", Thinking(), first, second, retry=0.5) as line:
        await line.give(asked())
        await line.until(lambda: first.taken_over == 1)
        first.work = answers("Me again.")
        assert line.switches == [("a", "b")], "it was not well yet"
        await line.until(lambda: len(line.switches) == 2)
        assert line.switches[1] == ("b", "a")
        texts = [frame.text for frame in line.rest.of(LLMTextFrame)]
        assert texts == ["Leo", "nardo"], "nobody interrupted the answer"
        await line.give(asked())
        await line.until(lambda: len(line.rest.of(LLMTextFrame)) == 3)
        assert line.rest.of(LLMTextFrame)[2].text == "Me again."


async def test_nobody_takes_the_work_back_while_a_tool_is_in_use():
    async def calls(service, frame):
        if not isinstance(frame, LLMContextFrame):
            return False
        await service.push_frame(LLMFullResponseStartFrame())
        await service.push_frame(FunctionCallInProgressFrame("look", "1", {}))
        await service.push_frame(LLMFullResponseEndFrame())
        return True

    first, second = Recovering(answers(breaks=True)), Service(calls)
    first.taken_over = 1
    async with running("llm", Thinking(), first, second, retry=0.5) as line:
        await line.give(asked())
        await line.until(lambda: first.taken_over == 2)
        await asyncio.sleep(0.4)
        assert line.switches == [("a", "b")]
        await second.push_frame(FunctionCallResultFrame("look", "1", {}, {}))
        await line.until(lambda: len(line.switches) == 2)
        assert line.rest.of(FunctionCallResultFrame)
        await second.push_frame(FunctionCallResultFrame("look", "2", {}, {}))
        await line.until(lambda: len(line.rest.of(FunctionCallResultFrame)) == 2)


async def test_who_cannot_be_loaded_does_not_keep_the_others():
    broken, well = Service(loads=False), Service(answers("Leonardo."))
    async with running("llm", Thinking(), broken, well) as line:
        assert line.fallback.problems == ["llm: a is not ready: it is not there"]
        await line.give(asked())
        await line.until(lambda: line.rest.of(LLMTextFrame))


async def test_who_cannot_be_started_does_not_keep_the_others():
    async with running("llm", Thinking(), Service(starts=False), Service(answers("Leonardo."))) as line:
        await line.give(asked())
        await line.until(lambda: line.rest.of(LLMTextFrame))
        assert not line.rest.of(ErrorFrame)


async def test_when_none_can_be_loaded_the_first_ones_error_counts():
    fallback = Fallback(
        "llm", [("a", Service(loads=False)), ("b", Service(loads=False))], Thinking(), FallbackSection()
    )
    with pytest.raises(AnimacyError, match="it is not there"):
        await fallback.load()
    await fallback.cleanup()
