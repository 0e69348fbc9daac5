"""An interruption with the real language model and the real voice: both stop, at once."""

from __future__ import annotations

import asyncio
import copy
import dataclasses

import numpy as np
import pytest
import pytest_asyncio
from pipecat.frames.frames import LLMMessagesAppendFrame

from animacy.core.film import read_audio
from animacy.core.pipeline.frames import ForeseenTranscriptFrame
from animacy.core.pipeline.loading import Products
from animacy.core.recipe_loader import load_recipe
from animacy.plugins.kokoro.network import Network
from animacy.plugins.llama.runtime import Runtime
from tests.conftest import QUESTIONS, RECIPES
from tests.core.pipeline.studio import MICROPHONE_RATE, ToldSTT, conversation, until

pytestmark = pytest.mark.realtime

LONG = "Tell me everything you know about the sea, in three long sentences."
SHORT = "What is the sea?"


def iris(plugins, **limits):
    loaded = load_recipe(RECIPES / "iris" / "recipe.yaml", plugins)
    limited = loaded.recipe.limits.model_copy(update=limits)
    return dataclasses.replace(loaded, recipe=loaded.recipe.model_copy(update={"limits": limited}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models(plugins):
    """Keeps the models loaded from test to test."""
    made = Products(iris(plugins), lambda _: None)
    await made.load()
    yield
    await made.close()


@pytest.fixture
async def products(plugins, models):
    made = Products(iris(plugins), lambda _: None)
    await made.load()
    yield made
    await made.close()


@pytest.fixture
async def brief(plugins, models):
    """The same, with short answers."""
    made = Products(iris(plugins, max_answer_tokens=24), lambda _: None)
    await made.load()
    yield made
    await made.close()


@pytest.fixture
def work(monkeypatch):
    """Counts what the models really do: tokens written, windows decoded, and to what answers were begun."""
    done = {"tokens": 0, "windows": 0, "answers": []}
    write, decode = Runtime.write, Network.decode

    def counted_write(self, messages, on_text, stop, **options):
        def on_counted(text):
            done["tokens"] += 1
            on_text(text)

        if options.get("max_tokens") != 1:  # not only read
            done["answers"].append([message["content"] for message in messages if message["role"] == "user"][-1])
        return write(self, messages, on_counted, stop, **options)

    def counted_decode(self, *arguments):
        done["windows"] += 1
        return decode(self, *arguments)

    monkeypatch.setattr(Runtime, "write", counted_write)
    monkeypatch.setattr(Network, "decode", counted_decode)
    return done


def voice(seconds):
    question = read_audio(QUESTIONS / "03.flac", MICROPHONE_RATE)
    onset = int(np.argmax(np.abs(question) > 1000))
    return question[onset : onset + int(seconds * MICROPHONE_RATE)]


async def test_both_models_stop_and_the_answer_ends_where_it_was_heard(products, work):
    async with conversation(stt=ToldSTT(["Stop."]), llm=products.llm, tts=products.tts) as scene:
        ask = LLMMessagesAppendFrame([{"role": "user", "content": LONG}], run_llm=True)
        await scene.worker.queue_frame(ask)
        await until(lambda: len(scene.room.words) >= 2, seconds=60)
        scene.microphone.say(voice(0.35))
        await until(lambda: any(flush.final for _, flush in scene.room.flushes))
        heard = " ".join(word for _, word in scene.room.words)
        await until(lambda: len(scene.said) >= 3, seconds=60)
        assert scene.said[:3] == [("user", LONG), ("assistant", heard), ("user", "Stop.")]
        await until(lambda: len(work["answers"]) == 2)
        assert work["answers"][1] == "Stop."


async def test_nothing_is_computed_after_an_interruption_that_nobody_answers(products, work):
    async with conversation(llm=products.llm, tts=products.tts) as scene:
        await scene.worker.queue_frame(LLMMessagesAppendFrame([{"role": "user", "content": LONG}], run_llm=True))
        await until(lambda: len(scene.room.words) >= 2 and work["windows"], seconds=60)
        scene.microphone.say(np.tile(voice(0.6), 4))  # a long sound without a transcript
        await until(lambda: any(flush.final for _, flush in scene.room.flushes))
        await asyncio.sleep(2.0)  # what was under way is still finished
        before = copy.deepcopy(work)
        await asyncio.sleep(1.5)
        assert work == before
        assert before["tokens"] > 0 and before["windows"] > 0


async def test_a_backchannel_disturbs_neither_the_answer_nor_what_is_thought_ahead(brief, work):
    """The next question is thought about while it is asked, as if nobody had said "mhm" before."""
    stt = ToldSTT(["Mm-hmm.", "How deep is it?"], delay=0.8)
    async with conversation(stt=stt, llm=brief.llm, tts=brief.tts) as scene:
        await scene.worker.queue_frame(LLMMessagesAppendFrame([{"role": "user", "content": SHORT}], run_llm=True))
        await until(lambda: len(scene.room.words) >= 2, seconds=60)
        scene.microphone.say(voice(0.35))
        await until(lambda: scene.room.flushes)
        await scene.stt.push_frame(ForeseenTranscriptFrame("Mm-hmm."))
        await until(lambda: len(scene.said) == 2, seconds=60)
        await scene.quiet(1.2)
        assert [role for role, _ in scene.said] == ["user", "assistant"]
        assert not any(flush.final for _, flush in scene.room.flushes)
        scene.microphone.say(voice(0.6))
        await asyncio.sleep(0.8)
        await scene.stt.push_frame(ForeseenTranscriptFrame("How deep is it?"))
        await until(lambda: len(scene.said) >= 4, seconds=60)
        assert work["answers"] == [SHORT, "How deep is it?"]  # begun once: what was foreseen is what was said
