"""Who has the word: real voice detector, real turn model, a spoken voice; told is what the words are."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    InterimTranscriptionFrame,
    LLMFullResponseEndFrame,
    TTSSpeakFrame,
    UserBackchannelFrame,
    UserStartedSpeakingFrame,
    VADUserStartedSpeakingFrame,
)
from pipecat.tests.utils import SleepFrame, run_test

from animacy.core.film import read_audio
from animacy.core.pipeline.turns.gate import TurnGate
from animacy.core.recipe import Idle, TurnTaking
from tests.conftest import QUESTIONS
from tests.core.pipeline.studio import MICROPHONE_RATE, ToldLLM, ToldSTT, conversation, until

STORY = (
    "Once upon a time, there was a lighthouse by the sea. Its keeper counted the ships, and he never slept at night."
)
ANSWER = "It is forty metres high, and painted red."


@pytest.fixture(scope="module")
def question():
    return read_audio(QUESTIONS / "03.flac", MICROPHONE_RATE)


@pytest.fixture(scope="module")
def sound(question):
    """A third of a second of a voice, as in a cough or an "mhm"."""
    onset = int(np.argmax(np.abs(question) > 1000))
    part = question[onset : onset + MICROPHONE_RATE // 3].astype(float)
    part[-800:] *= np.linspace(1, 0, 800)
    return part.astype(np.int16)


def frames(scene, kind):
    return [frame for _, frame in scene.room.frames if isinstance(frame, kind)]


async def interrupted_story(scene, sound):
    """The character begins its story, and a sound comes after a few words."""
    await scene.speak(STORY)
    await until(lambda: len(scene.room.words) >= 4)
    scene.microphone.say(sound)
    await until(lambda: scene.room.flushes)


@pytest.mark.parametrize("says_nothing", [True, False], ids=["stt says so", "stt says nothing"])
async def test_a_cough_does_not_end_the_answer(sound, says_nothing):
    async with conversation(stt=ToldSTT([""], says_nothing=says_nothing)) as scene:
        await interrupted_story(scene, sound)
        flush = scene.room.flushes[0][1]
        assert not flush.final and flush.turn == 1
        await until(lambda: any(chunk.turn == 2 for _, chunk in scene.room.chunks))
        silent = [chunk for _, chunk in scene.room.chunks if chunk.index >= flush.at_index and chunk.turn is None]
        assert len(silent) >= 5 and not any(any(chunk.pcm) for chunk in silent)
        assert not any(chunk.turn == 1 for _, chunk in scene.room.chunks if chunk.index >= flush.at_index)
        await scene.quiet()
        assert len(scene.room.flushes) == 1
        assert scene.said == [("assistant", STORY)]
        assert not scene.llm.asked
        assert not frames(scene, UserStartedSpeakingFrame)
        assert len(frames(scene, BotStoppedSpeakingFrame)) == 1


async def test_a_backchannel_does_not_end_the_answer_nor_enter_the_conversation(sound):
    async with conversation(stt=ToldSTT(["Mm-hmm."])) as scene:
        await interrupted_story(scene, sound)
        await scene.quiet()
        assert scene.said == [("assistant", STORY)]
        assert not scene.llm.asked
        assert [frame.text for frame in frames(scene, UserBackchannelFrame)] == ["Mm-hmm."]


async def test_interim_words_are_passed_on_only_in_a_turn():
    speaker = SimpleNamespace(said_lately=list, seconds_left=lambda: 0.0)
    gate = TurnGate(interrupt_after=0.7, start=0.1, pause=0.2, phrases=frozenset(), speaker=speaker)
    interim = [InterimTranscriptionFrame(text, "user", "") for text in ("Me", "Who")]
    down, _ = await run_test(gate, frames_to_send=[interim[0], SleepFrame(), VADUserStartedSpeakingFrame(), interim[1]])
    assert [frame.text for frame in down if isinstance(frame, InterimTranscriptionFrame)] == ["Who"]


async def test_the_recipe_may_name_other_backchannels(sound):
    own = TurnTaking(backchannels=("tell me more",))
    async with conversation(stt=ToldSTT(["Tell me more!", "Mm-hmm."]), turn_taking=own) as scene:
        await interrupted_story(scene, sound)
        await until(lambda: any(chunk.turn == 2 for _, chunk in scene.room.chunks))
        scene.microphone.say(sound)
        await until(lambda: scene.llm.asked)
        assert scene.llm.asked[0][-1] == {"role": "user", "content": "Mm-hmm."}


async def test_words_interrupt_and_only_what_was_heard_is_remembered(sound):
    async with conversation(stt=ToldSTT(["How high is it?"]), llm=ToldLLM([ANSWER])) as scene:
        await interrupted_story(scene, sound)
        heard = [word for _, word in scene.room.words]
        await until(lambda: len(scene.said) == 3)
        first, second = (flush for _, flush in scene.room.flushes)
        assert (first.turn, first.at_index, first.final) == (1, second.at_index, False)
        assert (second.turn, second.final) == (1, True)
        assert scene.said == [("assistant", " ".join(heard)), ("user", "How high is it?"), ("assistant", ANSWER)]
        assert not scene.gave_up_waiting  # the end of the voice was found while it was held
        assert STORY.startswith(" ".join(heard)) and len(heard) < len(STORY.split())
        assert scene.llm.asked == [[{"role": role, "content": text} for role, text in scene.said[:2]]]


async def test_a_long_voice_interrupts_before_its_words_are_known(question):
    async with conversation(stt=ToldSTT(["What is that?"], delay=1.5), llm=ToldLLM([ANSWER])) as scene:
        await interrupted_story(scene, question)
        await until(lambda: any(flush.final for _, flush in scene.room.flushes))
        assert not scene.llm.asked and frames(scene, UserStartedSpeakingFrame)
        await until(lambda: scene.said[-1] == ("assistant", ANSWER))


async def test_nothing_more_is_synthesized_after_an_interruption(sound):
    async with conversation(stt=ToldSTT(["Stop."])) as scene:
        await scene.speak(" ".join([STORY] * 5))
        scene.microphone.say(sound)
        await until(lambda: any(flush.final for _, flush in scene.room.flushes))
        await asyncio.sleep(0.1)
        made = scene.tts.pieces
        await asyncio.sleep(0.5)
        assert scene.tts.pieces == made


async def test_a_yes_to_its_last_words_answers_the_character(sound):
    async with conversation(stt=ToldSTT(["Yes."]), llm=ToldLLM([ANSWER])) as scene:
        await scene.speak("Shall I tell you something about it?")
        await until(lambda: scene.video.runner.seconds_left() < 0.4)
        scene.microphone.say(sound)
        await until(lambda: scene.llm.asked)
        assert scene.llm.asked[0][-1] == {"role": "user", "content": "Yes."}


async def test_its_own_words_in_the_microphone_are_no_turn(sound):
    async with conversation(stt=ToldSTT(["a time, there was", "was a lighthouse by the"])) as scene:
        await interrupted_story(scene, sound)
        await until(lambda: any(chunk.turn == 2 for _, chunk in scene.room.chunks))
        scene.microphone.say(sound)
        await scene.quiet()
        assert scene.said == [("assistant", STORY)]
        assert not scene.llm.asked and not frames(scene, UserStartedSpeakingFrame)
        assert len(scene.room.flushes) == 1  # a loudspeaker: it does not stammer over its own echo


async def test_who_speaks_into_silence_has_the_word_at_once(question):
    async with conversation(stt=ToldSTT(["What is that?"]), llm=ToldLLM([ANSWER])) as scene:
        scene.microphone.say(question)
        await until(lambda: frames(scene, UserStartedSpeakingFrame))
        assert len(scene.microphone.sound)  # still speaking
        await until(lambda: len(scene.said) == 2)
        assert scene.said[0] == ("user", "What is that?")
        assert not scene.room.flushes


async def test_words_come_when_they_are_heard_and_all_before_the_answer_ends(question):
    delay = 0.3
    async with conversation(stt=ToldSTT(["What?"]), llm=ToldLLM([ANSWER]), playout_delay=delay) as scene:
        scene.microphone.say(question)
        await until(lambda: len(scene.said) == 2)
        left = next(at for at, chunk in scene.room.chunks if chunk.turn is not None)
        assert scene.room.words[0][0] >= left + delay
        assert [word for _, word in scene.room.words] == ANSWER.split()
        order = [frame for _, frame in scene.room.frames]
        end = order.index(frames(scene, LLMFullResponseEndFrame)[0])
        last = max(index for index, frame in enumerate(order) if type(frame).__name__ == "HeardWordFrame")
        assert last < end
        assert scene.said[1] == ("assistant", ANSWER)


async def test_what_is_not_meant_for_the_conversation_stays_out_of_it():
    async with conversation() as scene:
        await scene.worker.queue_frame(TTSSpeakFrame("One moment, please.", append_to_context=False))
        await until(lambda: scene.room.words)
        await scene.quiet()
        await scene.speak("Here I am.")
        await scene.quiet()
        assert scene.said == [("assistant", "Here I am.")]


async def test_silences_are_broken_so_often_and_no_more(sound):
    lines = ("Are you there?", "Hello?")
    taking = TurnTaking(idle=Idle(after=1, lines=lines, times=2))
    async with conversation(stt=ToldSTT(["I am here."]), llm=ToldLLM(["Good."]), turn_taking=taking) as scene:
        await scene.speak("Hi.")
        await until(lambda: len(scene.said) == 3)
        await scene.quiet(1.5)
        assert [text for _, text in scene.said] == ["Hi.", *lines]
        scene.microphone.say(sound)
        await until(lambda: len(scene.said) == 6)
        assert [text for _, text in scene.said[3:]] == ["I am here.", "Good.", lines[0]]
