"""Turns as an observer of the pipeline sees them: which moments belong to which turn, and when one is over."""

from __future__ import annotations

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallResultProperties,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.filters.identity_filter import IdentityFilter
from pipecat.processors.frame_processor import FrameDirection

from animacy.core.pipeline.frames import CharacterChunkFrame, FlushFrame
from animacy.core.pipeline.timeline import KEPT_TURNS, Timeline
from animacy.core.video.contract import RenderedChunk

FPS = 25
PICTURE = np.zeros((2, 2, 3), np.uint8)


class Conversation:
    """A conversation that is only told: each method is what the pipeline pushes when it happens."""

    def __init__(self, **options) -> None:
        self.now = 100.0
        self.turns = []
        self.films = 0
        self.timeline = Timeline(
            fps=FPS, on_turn=self.turns.append, on_first_frame=self._filmed, clock=lambda: self.now, **options
        )
        self.index = 0
        self.number = 0
        self._pipe = IdentityFilter()

    def _filmed(self):
        self.films += 1

    async def push(self, frame):
        await self.timeline.on_push_frame(FramePushed(self._pipe, self._pipe, frame, FrameDirection.DOWNSTREAM, 0))

    async def frames(self, n, turn=None):
        for _ in range(n):
            await self.push(CharacterChunkFrame(RenderedChunk(self.index, [PICTURE], b"", turn)))
            self.index += 1
            self.now += 1 / FPS

    async def voice(self):
        self.now += 0.2
        await self.push(VADUserStartedSpeakingFrame(start_secs=0.2))

    async def quiet(self, text=None):
        self.now += 0.2
        await self.push(VADUserStoppedSpeakingFrame(stop_secs=0.2))
        if text:
            self.now += 0.1
            await self.push(TranscriptionFrame(text, "", ""))

    async def ask(self, text):
        await self.voice()
        await self.push(UserStartedSpeakingFrame())
        self.now += 1.0
        await self.quiet(text)
        await self.decide()

    async def decide(self):
        self.now += 0.1
        await self.push(UserStoppedSpeakingFrame())

    async def think(self):
        self.now += 0.1
        await self.push(LLMTextFrame("Well."))
        self.now += 0.2
        await self.push(TTSAudioRawFrame(b"\0\0", 24_000, 1))

    async def speak(self, frames=10):
        self.number += 1
        await self.frames(frames, self.number)

    async def cut(self, *, final):
        await self.push(FlushFrame(self.number, self.index, final))

    async def stop(self):
        await self.frames(2)
        await self.push(BotStoppedSpeakingFrame())

    async def answer(self):
        await self.think()
        await self.speak()
        await self.stop()


@pytest.fixture
async def told():
    conversation = Conversation()
    await conversation.frames(5)
    return conversation


async def test_a_turn_is_told_when_its_answer_is_over(told):
    await told.ask("Who painted it?")
    await told.think()
    await told.speak()
    assert told.turns == []
    await told.stop()
    (turn,) = told.turns
    assert turn.user == "Who painted it?"
    assert (turn.final_transcript, turn.turn_decision) == (0.3, 0.4)
    assert (turn.first_llm_token, turn.first_tts_audio, turn.first_response_frame) == (0.5, 0.7, 0.7)
    assert (turn.speech_start, turn.speech_end) == (5 / FPS, 15 / FPS)
    assert turn.speech_end_from == "vad"
    assert not turn.interrupted
    assert turn.barge_in_ms is None
    assert told.films == 1


async def test_a_better_known_end_of_speech_is_preferred():
    conversation = Conversation(speech_end=lambda now: now - 0.5)
    await conversation.frames(1)
    await conversation.ask("Who?")
    await conversation.answer()
    assert conversation.turns[0].speech_end_from == "signal"
    assert conversation.turns[0].turn_decision == 0.7


async def test_a_greeting_is_no_turn(told):
    await told.speak()
    await told.stop()
    await told.ask("Who?")
    await told.answer()
    await told.speak()  # and nobody asked for this either
    await told.stop()
    assert [turn.user for turn in told.turns] == ["Who?"]
    assert told.turns[0].speech_start == 17 / FPS
    (kept,) = told.timeline.reports()
    assert kept.speech_end == 27 / FPS


async def test_a_user_who_goes_on_before_the_answer_is_in_the_same_turn(told):
    await told.ask("I like this one,")
    await told.think()
    await told.ask("but who painted it?")
    await told.answer()
    (turn,) = told.turns
    assert turn.user == "I like this one, but who painted it?"
    assert turn.first_llm_token == 0.5


@pytest.mark.parametrize("hold", [True, False])
async def test_an_interruption_ends_a_turn_and_begins_the_next(told, hold):
    await told.ask("Who?")
    await told.think()
    await told.speak()
    await told.voice()
    if hold:
        await told.cut(final=False)
        await told.push(BotStoppedSpeakingFrame())
        await told.frames(10)
        await told.quiet("No, wait.")
        assert told.turns == []
        await told.push(UserStartedSpeakingFrame())
        await told.cut(final=True)
    else:
        await told.push(UserStartedSpeakingFrame())
        await told.push(InterruptionFrame())
        await told.cut(final=True)
        await told.frames(10)
        await told.quiet("No, wait.")
    first = told.turns[0]
    assert first.interrupted
    assert first.user == "Who?"
    assert first.speech_end == 15 / FPS
    assert first.barge_in_ms == (200.0 if hold else None) or first.barge_in_ms == 200.0
    await told.decide()
    await told.answer()
    second = told.turns[1]
    assert second.user == "No, wait."
    assert second.final_transcript == 0.3
    assert not second.interrupted
    assert second.index == 1


async def test_an_answer_that_was_held_up_goes_on_in_the_same_turn(told):
    await told.ask("Who?")
    await told.think()
    await told.speak(10)
    await told.voice()
    await told.cut(final=False)
    await told.frames(10)
    await told.push(BotStoppedSpeakingFrame())
    await told.quiet("Mhm.")
    await told.push(BotStartedSpeakingFrame())
    await told.speak(7)
    assert told.turns == []
    await told.stop()
    (turn,) = told.turns
    assert not turn.interrupted
    assert turn.barge_in_ms is None
    assert turn.user == "Who?"
    assert (turn.speech_start, turn.speech_end) == (5 / FPS, 32 / FPS)
    await told.ask("And when?")
    await told.answer()
    assert told.turns[1].user == "And when?"


async def test_a_hold_with_nothing_left_to_say_does_not_swallow_the_next_answer(told):
    await told.ask("Who?")
    await told.think()
    await told.speak()
    await told.voice()
    await told.cut(final=False)
    await told.frames(10)
    await told.ask("And when?")
    await told.answer()
    assert [turn.user for turn in told.turns] == ["Who?", "And when?"]
    assert told.turns[1].first_response_frame == 0.7


async def test_a_typed_question_is_a_turn(told):
    await told.push(LLMMessagesAppendFrame([{"role": "user", "content": "Who painted it?"}], run_llm=True))
    await told.answer()
    (turn,) = told.turns
    assert turn.user == "Who painted it?"
    assert turn.speech_end_from == "text"
    assert turn.first_response_frame == 0.3


async def test_words_that_the_voice_detector_missed_are_a_turn(told):
    await told.push(TranscriptionFrame("I dialled 7.", "", ""))
    await told.push(UserStartedSpeakingFrame())
    await told.decide()
    await told.answer()
    (turn,) = told.turns
    assert (turn.user, turn.speech_end_from) == ("I dialled 7.", "text")


def tool_at_work():
    return FunctionCallInProgressFrame("queue", "1", {}, cancel_on_interruption=True)


def tool_result(*, run_llm):
    return FunctionCallResultFrame("queue", "1", {}, {}, properties=FunctionCallResultProperties(run_llm=run_llm))


async def test_what_a_tool_brings_belongs_to_the_turn(told):
    """However long the tool takes: the opening was said long ago."""
    await told.ask("How long is the queue?")
    await told.push(LLMFullResponseStartFrame())
    await told.think()
    await told.push(tool_at_work())
    await told.push(LLMFullResponseEndFrame())
    await told.speak(10)
    await told.stop()
    assert told.turns == []
    await told.push(tool_result(run_llm=True))
    await told.push(LLMFullResponseStartFrame())
    await told.think()
    await told.push(LLMFullResponseEndFrame())
    await told.speak(20)
    assert told.turns == []
    await told.stop()
    (turn,) = told.turns
    assert turn.speech_end == (5 + 10 + 2 + 20) / FPS


@pytest.mark.parametrize("words", [True, False])
async def test_a_tool_without_an_answer_ends_the_turn(told, words):
    await told.ask("Show me the map.")
    await told.think()
    await told.push(tool_at_work())
    await told.speak(10)
    await told.stop()
    await told.push(tool_result(run_llm=False))
    if words:
        await told.push(TTSSpeakFrame("There you are."))
    await told.frames(20)
    assert len(told.turns) == (0 if words else 1)
    await told.speak(10)
    await told.stop()
    (turn,) = told.turns
    assert turn.speech_end == ((5 + 10 + 2 + 20 + 10) if words else (5 + 10)) / FPS


async def test_a_tool_that_never_ends_does_not_swallow_the_next_turn(told):
    await told.ask("How long is the queue?")
    await told.think()
    await told.push(tool_at_work())
    await told.speak(10)
    await told.stop()
    await told.ask("Never mind. Who painted it?")
    await told.answer()
    assert [turn.user for turn in told.turns] == ["How long is the queue?", "Never mind. Who painted it?"]


async def test_memory_is_bounded_and_turns_keep_their_numbers(told):
    for number in range(KEPT_TURNS + 20):
        await told.ask(f"Question {number}?")
        await told.answer()
    assert len(told.turns) == KEPT_TURNS + 20
    reports = told.timeline.reports()
    assert len(reports) == KEPT_TURNS
    assert reports[-1].index == KEPT_TURNS + 19
    assert reports[-1].user == f"Question {KEPT_TURNS + 19}?"
    assert {turn.first_response_frame for turn in told.turns} == {0.7}
