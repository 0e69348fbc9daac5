"""The bridge in a real Pipecat pipeline: a language model with a script calls the tools."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque

import pytest
from pipecat.frames.frames import (
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

from animacy.core.tools.pipecat import ToolBridge
from animacy.core.tools.registry import Toolbox
from tests.core.tools.sources import Listed, tool


class ScriptedLLM(LLMService):
    """Answers with the next of its lines: text, or a list of (tool, arguments) to call and texts to say before."""

    def __init__(self, *lines):
        super().__init__(settings=LLMSettings(model="script"))
        self.lines, self.asked, self.number = deque(lines), [], 0

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        self.asked.append([dict(message) for message in frame.context.get_messages()])
        line = self.lines.popleft() if self.lines else "That is all."
        await self.push_frame(LLMFullResponseStartFrame())
        if isinstance(line, str):
            await self.push_frame(LLMTextFrame(line))
        else:
            calls = []
            for text in (part for part in line if isinstance(part, str)):
                await self.push_frame(LLMTextFrame(text))
            for name, arguments in (part for part in line if not isinstance(part, str)):
                self.number += 1
                calls.append(FunctionCallFromLLM(name, f"call{self.number}", arguments, frame.context))
            await self.run_function_calls(calls)
        await self.push_frame(LLMFullResponseEndFrame())

    @property
    def results(self):
        """What the model read as results when it was last asked."""
        return [json.loads(message["content"]) for message in self.asked[-1] if message["role"] == "tool"]


class Ears(FrameProcessor):
    """Stands where the voice would: what would be spoken besides the model's words, and those."""

    def __init__(self):
        super().__init__()
        self.spoken, self.texts = [], []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSSpeakFrame):
            self.spoken.append((frame.text, frame.append_to_context))
            return
        if isinstance(frame, LLMTextFrame):
            self.texts.append(frame.text)
        await self.push_frame(frame, direction)


class Scene:
    async def say(self, text):
        """A turn of the user; it interrupts whatever goes on."""
        heard = TranscriptionFrame(text, "user", time_now_iso8601())
        await self.worker.queue_frames([ProposedUserStartedSpeakingFrame(), heard])
        await asyncio.sleep(0.03)  # system frames overtake others
        await self.worker.queue_frame(ProposedUserStoppedSpeakingFrame())

    async def until(self, true, seconds=10.0):
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110 - what is waited for is seen from outside
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)  # and for what must not follow


@contextlib.asynccontextmanager
async def conversation(tools, *lines, **settings):
    before = asyncio.all_tasks()
    scene = Scene()
    scene.toolbox = Toolbox([("test", Listed(*tools))])
    await scene.toolbox.load()
    scene.bridge = ToolBridge(scene.toolbox, **settings)
    scene.llm, scene.ears, scene.context = ScriptedLLM(*lines), Ears(), LLMContext()
    scene.bridge.connect(scene.llm, scene.context)
    params = LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies())
    aggregators = LLMContextAggregatorPair(scene.context, user_params=params)
    pipeline = Pipeline([aggregators.user(), scene.llm, scene.ears, aggregators.assistant()])
    scene.worker = PipelineWorker(pipeline, enable_rtvi=False, enable_turn_tracking=False, idle_timeout_secs=None)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(scene.worker)
    running = asyncio.create_task(runner.run())
    try:
        yield scene
    finally:
        await scene.worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await scene.toolbox.close()
        await asyncio.sleep(0.02)
        left = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not left, left


async def double(call):
    return 2 * call.arguments["n"]


DOUBLE = tool("double", double, {"n": "integer"})


async def test_a_result_comes_back_into_the_answer():
    async with conversation([DOUBLE], [("double", {"n": "21"})], "It is 42.") as scene:
        [schema] = scene.context.tools.standard_tools
        assert schema.to_default_dict()["parameters"]["properties"] == {"n": {"type": "integer"}}
        await scene.say("What is twice 21?")
        await scene.until(lambda: scene.ears.texts)
        assert scene.llm.results == [{"result": 42}]
        assert scene.ears.texts == ["It is 42."]
        assert not scene.ears.spoken
        [record] = scene.bridge.take_records()
        assert (record.name, record.arguments, record.result.value) == ("double", {"n": "21"}, 42)
        assert record.started > 1e9
        assert record.seconds >= 0
        assert not scene.bridge.records


async def test_what_cannot_be_called_is_told_to_the_model():
    async def breaks(call):
        raise ZeroDivisionError

    calls = [("double", {"n": "many"}), ("triple", {}), ("breaks", {})]
    async with conversation([DOUBLE, tool("breaks", breaks)], calls, "Sorry.") as scene:
        await scene.say("Do it all.")
        await scene.until(lambda: scene.ears.texts)
        assert [list(result) for result in scene.llm.results] == [["error"]] * 3
        assert "'n' must be a whole number" in scene.llm.results[0]["error"]
        assert len(scene.llm.asked) == 2


async def test_calls_of_one_answer_run_together_and_are_answered_once():
    together = asyncio.Barrier(2)

    async def meet(call):
        await together.wait()
        return call.arguments["who"]

    calls = [("meet", {"who": "Ann"}), ("meet", {"who": "Bob"})]
    async with conversation([tool("meet", meet, {"who": "string"})], calls, "Both are here.") as scene:
        await scene.say("Who is here?")
        await scene.until(lambda: scene.ears.texts)
        assert scene.llm.results == [{"result": "Ann"}, {"result": "Bob"}]
        assert len(scene.llm.asked) == 2


async def test_a_slow_tool_has_a_line_said_once():
    release = asyncio.Event()

    async def slow(call):
        await release.wait()

    tools = [tool("slow", slow, filler="Let me look."), tool("other", slow)]
    async with conversation(tools, [("slow", {}), ("other", {})], "Done.", filler_after=0.03) as scene:
        await scene.say("Look it up.")
        await scene.until(lambda: scene.ears.spoken)
        assert scene.ears.spoken == [("Let me look.", False)]
        release.set()
        await scene.until(lambda: scene.ears.texts)
        assert "Let me look." not in str(scene.context.get_messages())
        assert len(scene.llm.asked) == 2


async def test_a_model_that_says_something_itself_needs_no_line():
    release = asyncio.Event()

    async def slow(call):
        await release.wait()

    async with conversation([tool("slow", slow)], ["I'll look.", ("slow", {})], "Done.", filler_after=0.03) as scene:
        await scene.say("Look it up.")
        await scene.until(lambda: scene.toolbox.running)
        await asyncio.sleep(0.1)
        release.set()
        await scene.until(lambda: len(scene.ears.texts) == 2)
        assert not scene.ears.spoken


@pytest.mark.parametrize("silent_last", [True, False])
async def test_a_silent_tool_wants_no_answer_unless_another_does(silent_last):
    first = asyncio.Event()

    async def at_once(call):
        first.set()
        return "early"

    async def after(call):
        await first.wait()
        await asyncio.sleep(0.02)

    tools = [
        tool("show", after if silent_last else at_once, silent=True),
        tool("ask", at_once if silent_last else after),
    ]
    async with conversation(tools, [("show", {})], [("show", {}), ("ask", {})], "Here you are.") as scene:
        first.set()
        await scene.say("Show it.")
        await scene.until(lambda: scene.bridge.records)
        assert len(scene.llm.asked) == 1
        first.clear()
        await scene.say("Show it and ask.")
        await scene.until(lambda: scene.ears.texts)
        assert scene.ears.texts == ["Here you are."]
        assert len(scene.llm.asked) == 3


async def test_a_silent_tool_that_fails_is_answered():
    async def fails(call):
        raise RuntimeError

    async with conversation([tool("show", fails, silent=True)], [("show", {})], "I cannot show it.") as scene:
        await scene.say("Show it.")
        await scene.until(lambda: scene.ears.texts)
        assert scene.llm.results == [{"error": "show did not work"}]


async def test_an_interruption_ends_a_call():
    ended = asyncio.Event()

    async def wait(call):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with conversation([tool("wait", wait)], [("wait", {})], "Something else.", filler_after=0.2) as scene:
        await scene.say("Wait for it.")
        await scene.until(lambda: scene.toolbox.running)
        await scene.say("Never mind, tell me something else.")
        await scene.until(lambda: scene.ears.texts)
        assert ended.is_set()
        assert scene.bridge.records[0].result.status == "cancelled"
        assert [message["content"] for message in scene.llm.asked[-1] if message["role"] == "tool"] == ["CANCELLED"]
        await asyncio.sleep(0.2)
        assert not scene.ears.spoken
        assert len(scene.llm.asked) == 2


async def test_a_background_call_outlives_an_interruption_and_is_told_later():
    release = asyncio.Event()

    async def later(call):
        await call.progress("half of it is there")
        await release.wait()
        return "the file is ready"

    tools = [tool("later", later, background=True), DOUBLE]
    lines = [("later", {}), ("double", {"n": 2})], "It is 4, and I am on it.", "Nice weather.", "The file is ready."
    async with conversation(tools, *lines) as scene:
        await scene.say("Make the file, and double two.")
        await scene.until(lambda: scene.ears.texts)
        assert scene.ears.texts == ["It is 4, and I am on it."], "nobody waits for the background"
        await scene.say("How is the weather?")
        await scene.until(lambda: len(scene.ears.texts) == 2)
        assert "half of it is there" in str(scene.llm.asked[-1])
        release.set()
        await scene.until(lambda: len(scene.ears.texts) == 3)
        assert "the file is ready" in str(scene.llm.asked[-1])
        assert [record.background for record in scene.bridge.records] == [False, True]


async def test_something_consequential_waits_for_the_users_yes():
    paid = []

    async def pay(call):
        paid.append(call.arguments["to"])
        return "paid"

    call = [("pay", {"to": "Ann"})]
    asks = tool("pay", pay, {"to": "string"}, consequential=True, question="Shall I pay {to}?")
    async with conversation([asks], call, call, "Paid.") as scene:
        # What is only in the context does not confirm, even when it is in the user's name.
        scene.context.add_message({"role": "user", "content": "Yes."})
        await scene.say("Pay Ann.")
        await scene.until(lambda: scene.ears.spoken)
        assert scene.ears.spoken == [("Shall I pay Ann?", True)], "asked in these words, whatever the model makes of it"
        assert len(scene.llm.asked) == 1
        assert not paid
        await scene.say("Yes, please.")
        await scene.until(lambda: scene.ears.texts)
        assert paid == ["Ann"]
        assert [record.result.status for record in scene.bridge.records] == ["asks", "done"]


@pytest.mark.parametrize(
    ("reply", "returned", "said"),
    [
        ("Here is floor {floor}.", None, "Here is floor 2."),
        ("{people} are waiting.", {"people": 43}, "43 are waiting."),
        ("{people} are waiting.", {"persons": 43}, None),
        ("{people} are waiting.", "nobody", None),
    ],
)
async def test_a_reply_is_said_in_place_of_the_models_words(reply, returned, said):
    async def look(call):
        return returned

    tools = [tool("look", look, {"floor": "integer"}, reply=reply)]
    async with conversation(tools, [("look", {"floor": 2})], "In my own words.") as scene:
        await scene.say("Look.")
        await scene.until(lambda: scene.ears.spoken or scene.ears.texts)
        assert scene.ears.spoken == ([(said, True)] if said else [])
        assert scene.ears.texts == ([] if said else ["In my own words."])


async def test_a_call_that_fails_has_no_reply():
    async def fails(call):
        raise RuntimeError

    async with conversation([tool("look", fails, reply="Here you are.")], [("look", {})], "I can't.") as scene:
        await scene.say("Look.")
        await scene.until(lambda: scene.ears.texts)
        assert not scene.ears.spoken


async def test_a_conversation_without_tools_stays_as_it_was():
    async with conversation([], "Hello.") as scene:
        await scene.say("Hi.")
        await scene.until(lambda: scene.ears.texts)
        assert not scene.llm.has_function("anything")
