"""What is found out for a turn stands before it, once, and is gone with the next one."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import InterruptionFrame, LLMContextFrame, UserStartedSpeakingFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.tests.utils import SleepFrame, run_test

from animacy.core.errors import KnowledgeError
from animacy.core.llm.contract import Grounds
from animacy.core.pipeline.frames import ForeseenTranscriptFrame, GroundedContextFrame
from animacy.core.pipeline.grounding import Finding, Grounding


class Shelf:
    """A source that knows some answers by heart."""

    def __init__(self, known, slowness=0.0):
        self.known, self.slowness = known, slowness
        self.asked, self.used, self.cancelled = [], [], 0

    async def find(self, said, before):
        self.asked.append((said, list(before)))
        try:
            await asyncio.sleep(self.slowness)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.known.get(said)

    async def settled(self, finding):
        self.used.append(finding)


class Torn:
    async def find(self, said, before):
        raise KnowledgeError("the index is torn")

    async def settled(self, finding):
        assert finding is None


SEA = Finding("The sea holds 35 g of salt a litre.")
FEE = Finding("Nothing is known of it.", Grounds("I don't know that."))


def user(text):
    return {"role": "user", "content": text}


async def test_notes_stand_before_the_words_they_are_for_and_go_with_the_next_turn():
    shelf = Shelf({"Why is it salty?": SEA})
    context = LLMContext([user("Hello."), {"role": "assistant", "content": "Hi!"}, user("Why is it salty?")])
    seen = []

    class Watched(Grounding):
        async def push_frame(self, frame, direction=None):
            if isinstance(frame, LLMContextFrame):
                seen.append([message["content"] for message in frame.context.get_messages()])
            await super().push_frame(frame, direction) if direction else await super().push_frame(frame)

    grounding = Watched([Torn(), shelf])
    await run_test(grounding, frames_to_send=[LLMContextFrame(context)])
    assert seen == [["Hello.", "Hi!", SEA.note, "Why is it salty?"]]
    assert shelf.asked == [("Why is it salty?", ["Hello.", "Hi!"])] and shelf.used == [SEA]


async def test_a_note_is_gone_with_the_next_turn():
    shelf = Shelf({"Why is it salty?": SEA})
    context = LLMContext([user("Why is it salty?")])
    grounding = Grounding([shelf])

    @grounding.event_handler("on_after_push_frame")
    async def go_on(_, frame):
        if isinstance(frame, LLMContextFrame) and len(context.get_messages()) == 2:
            context.add_messages([{"role": "assistant", "content": "The rivers."}, user("Thanks.")])

    down, _ = await run_test(
        grounding, frames_to_send=[LLMContextFrame(context), SleepFrame(0.1), LLMContextFrame(context)]
    )
    assert [message["content"] for message in context.get_messages()] == ["Why is it salty?", "The rivers.", "Thanks."]
    first, second = (frame for frame in down if isinstance(frame, LLMContextFrame))
    assert isinstance(first, GroundedContextFrame) and not isinstance(second, GroundedContextFrame)
    assert shelf.used == [SEA, None]


async def test_who_begins_to_speak_is_thought_about_without_the_last_turns_notes():
    """Else the llm would read the conversation ahead in a form that it never has again."""
    context = LLMContext([user("Why is it salty?")])
    shelf = Shelf({"Why is it salty?": SEA})
    grounding = Grounding([shelf])
    read = []

    @grounding.event_handler("on_after_push_frame")
    async def note(_, frame):
        if isinstance(frame, LLMContextFrame | UserStartedSpeakingFrame | ForeseenTranscriptFrame):
            read.append(len(context.get_messages()))

    frames = [LLMContextFrame(context), SleepFrame(0.1), UserStartedSpeakingFrame(), SleepFrame(0.1)]
    await run_test(grounding, frames_to_send=[*frames, ForeseenTranscriptFrame("And the lakes?")])
    assert read[:2] == [2, 1]


async def test_what_was_foreseen_is_not_looked_up_again():
    shelf = Shelf({"How much is it?": FEE}, slowness=0.1)
    frames = [
        ForeseenTranscriptFrame("How much is it?"),
        SleepFrame(0.05),
        LLMContextFrame(LLMContext([user("How much is it?")])),
        SleepFrame(0.2),
    ]
    down, _ = await run_test(Grounding([shelf]), frames_to_send=frames)
    assert len(shelf.asked) == 1
    (foreseen,) = [frame for frame in down if isinstance(frame, ForeseenTranscriptFrame)]
    (context,) = [frame for frame in down if isinstance(frame, GroundedContextFrame)]
    assert foreseen.grounds.answer == context.grounds.answer == "I don't know that."
    assert [note["content"] for note in foreseen.notes] == [FEE.note]


async def test_no_speech_passes_at_once_and_ends_the_search():
    shelf = Shelf({}, slowness=5.0)
    frames = [ForeseenTranscriptFrame("Why"), SleepFrame(0.05), ForeseenTranscriptFrame(""), SleepFrame(0.05)]
    down, _ = await run_test(Grounding([shelf]), frames_to_send=frames)
    assert [frame.text for frame in down if isinstance(frame, ForeseenTranscriptFrame)] == [""]
    assert shelf.cancelled == 1


async def test_an_interruption_ends_the_search():
    shelf = Shelf({}, slowness=5.0)
    frames = [LLMContextFrame(LLMContext([user("Why?")])), SleepFrame(0.1), InterruptionFrame(), SleepFrame(0.1)]
    down, _ = await run_test(Grounding([shelf]), frames_to_send=frames)
    assert shelf.cancelled == 1
    assert not any(isinstance(frame, LLMContextFrame) for frame in down)


async def test_without_a_finding_the_turn_passes_as_it_is():
    context = LLMContext([user("Hello.")])
    down, _ = await run_test(Grounding([Shelf({})]), frames_to_send=[LLMContextFrame(context)])
    (frame,) = [frame for frame in down if isinstance(frame, LLMContextFrame)]
    assert not isinstance(frame, GroundedContextFrame) and frame.context.get_messages() == [user("Hello.")]
