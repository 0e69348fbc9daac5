"""The light voice: what it says, when its mouth moves, how it stops, and what it tells of a user's own voice."""

import asyncio
import itertools
import json
import re
import shutil
import sys
from difflib import SequenceMatcher

import numpy as np
import onnx
import pytest
import soxr
from pipecat.frames.frames import (
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.tests.utils import SleepFrame, run_test

from animacy.core.errors import AnimacyError, ModelError, PluginError, RecipeError
from animacy.core.models import LocalModel, packaged
from animacy.core.pipeline.frames import SpeechFrame
from animacy.core.pipeline.voice import LocalTTS
from animacy.core.provider import CharacterContext
from animacy.core.shared import Share
from animacy.core.video.contract import VISEME_SHAPES
from animacy.plugins.piper import PiperSettings, tts_providers
from animacy.plugins.piper.speaker import PiperSpeaker
from animacy.plugins.piper.voice import Voice
from animacy.plugins.whisper.recogniser import Recogniser

SENTENCE = "Bob, a cook, put a big copper teapot beside a tall black clock."


class CountingSpeaker(PiperSpeaker):
    """Counts the pieces it makes."""

    made = 0

    def synthesize(self, text):
        for piece in super().synthesize(text):
            self.made += 1
            yield piece


@pytest.fixture(scope="module")
def voice():
    return Voice.load(packaged("piper-joe-medium"), None, threads=1, language="en-US")


@pytest.fixture(scope="module")
def speaker(voice):
    return CountingSpeaker(voice)


@pytest.fixture
def own(tmp_path):
    """The files of a voice as a user has them."""
    folder = packaged("piper-joe-medium").ensure()
    for file in folder.glob("en_US*"):
        (tmp_path / file.name.replace("en_US-joe-medium", "mine")).symlink_to(file)
    return tmp_path / "mine.onnx"


def service_of(speaker):
    share = Share(("piper", "test"), lambda: speaker)
    return LocalTTS(share, name="piper", model="piper-joe-medium", voice=None, language="en-US")


def samples(pieces):
    return np.concatenate([np.frombuffer(piece.pcm, np.int16) for piece in pieces]).astype(np.float32) / 32768


def words(text):
    return re.sub(r"[^\w ]", "", text.lower()).split()


async def load(language="en-US", **settings):
    """What a recipe with these settings loads."""
    provider = tts_providers()
    service = provider.create(provider.settings(**settings), CharacterContext("Iris", language=language, threads=1))
    try:
        await service.load()
    finally:
        await service.cleanup()


# --- sound


async def test_it_says_what_is_written(speaker):
    written = "**The Mona Lisa** 😀 was painted by Leonardo between 1503 and 1519. Dr. Smith likes it!"
    down, _ = await run_test(service_of(speaker), frames_to_send=[TTSSpeakFrame(written)])
    speech = [frame for frame in down if isinstance(frame, SpeechFrame)]
    assert {(frame.sample_rate, frame.num_channels) for frame in speech} == {(24_000, 1)}
    sound = np.concatenate([np.frombuffer(frame.audio, np.int16) for frame in speech]).astype(np.float32) / 32768
    recogniser = Recogniser(packaged("whisper-base"))
    recogniser.load()
    said = words(recogniser.transcribe(soxr.resample(sound, 24_000, 16_000)).text)
    # Each time the voice says it a little differently, and now and then a word is misheard.
    alike = SequenceMatcher(
        None, said, words("The Mona Lisa was painted by Leonardo between 1503 and 1519. Dr. Smith likes it.")
    )
    assert alike.ratio() > 0.75


def test_the_mouth_moves_with_the_sound(speaker):
    """The shapes cover the sound, and its loudness fits them best within 30 ms of where they are."""
    (piece,) = speaker.synthesize(SENTENCE)
    sound, rate = samples([piece]), 210
    assert all(viseme.shape in VISEME_SHAPES for viseme in piece.visemes)
    assert all(0 <= a.start < a.end <= b.start + 1e-6 for a, b in itertools.pairwise(piece.visemes))
    level = np.sqrt(np.convolve(sound**2, np.ones(220) / 220, "same")[:: speaker.sample_rate // rate])
    shape, known = np.zeros(len(level)), np.zeros(len(level), bool)
    for viseme in piece.visemes:
        here = slice(round(viseme.start * rate), round(viseme.end * rate))
        shape[here] = {"PP": -1, "DD": -1, "kk": -1, "sil": -1.5}.get(viseme.shape, 0)
        known[here] = True
        if viseme.shape in ("aa", "E", "I", "O", "U"):
            shape[here] = 1
    assert np.mean(known[level > 0.01]) > 0.97
    decibels = 20 * np.log10(level + 1e-3)
    fits = {lag: np.corrcoef(np.roll(decibels, -lag), shape)[0, 1] for lag in range(-30, 31)}
    best = max(fits, key=fits.__getitem__)
    assert abs(best) / rate <= 0.03
    assert fits[best] > 0.5


def test_the_mouth_rests_only_in_pauses(speaker):
    (piece,) = speaker.synthesize("I like it here, very much.")
    _, *inner, _ = piece.visemes
    pauses = [viseme for viseme in inner if viseme.shape == "sil"]
    sound = np.abs(samples([piece]))
    assert pauses
    for pause in pauses:
        middle = slice(*(round(edge * speaker.sample_rate) for edge in (pause.start + 0.02, pause.end - 0.02)))
        assert sound[middle].max() < 0.01


def test_each_sentence_comes_before_the_next_is_made(speaker):
    before = speaker.made
    pieces = speaker.synthesize(" ".join([SENTENCE] * 3))
    assert next(pieces).visemes
    assert speaker.made == before + 1
    assert [bool(piece.visemes) for piece in pieces] == [True, True]


def test_speed_and_pauses_are_as_set(voice):
    def seconds(**manner):
        return len(samples(PiperSpeaker(voice, **manner).synthesize("I like this picture."))) / 22_050

    assert 0.4 < seconds(speed=2.0, sentence_pause=0) / seconds(sentence_pause=0) < 0.85
    assert 0.7 < seconds(sentence_pause=1.0) - seconds(sentence_pause=0) < 1.3


@pytest.mark.parametrize("text", ["", " ", "😀", "...", "**", "你好"])
def test_what_cannot_be_said_is_silent(speaker, text):
    assert list(speaker.synthesize(text)) == []


# --- service


async def test_an_answer_is_started_spoken_and_stopped(speaker):
    parts = ["I like", " it here, very", " much. 😀"]
    answer = [LLMFullResponseStartFrame(), *map(LLMTextFrame, parts), LLMFullResponseEndFrame(), SleepFrame(0.1)]
    down, _ = await run_test(service_of(speaker), frames_to_send=answer)
    kinds = [type(frame) for frame in down if isinstance(frame, (TTSStartedFrame, SpeechFrame, TTSStoppedFrame))]
    assert [kind for kind, _ in itertools.groupby(kinds)] == [TTSStartedFrame, SpeechFrame, TTSStoppedFrame]
    assert sum(bool(frame.visemes) for frame in down if isinstance(frame, SpeechFrame)) == 2


@pytest.mark.realtime
async def test_an_interruption_stops_after_the_sentence_being_made(speaker):
    before, sentences = speaker.made, 100
    frames = [TTSSpeakFrame(" ".join([SENTENCE] * sentences)), SleepFrame(2.5), InterruptionFrame(), SleepFrame(0.5)]
    down, _ = await run_test(service_of(speaker), frames_to_send=frames)
    at = next(index for index, frame in enumerate(down) if isinstance(frame, InterruptionFrame))
    assert any(isinstance(frame, SpeechFrame) for frame in down[:at])
    assert not any(isinstance(frame, SpeechFrame) for frame in down[at:])
    for _ in range(20):
        stopped = speaker.made
        await asyncio.sleep(0.7)
        if speaker.made == stopped:
            break
    assert speaker.made == stopped
    assert before < stopped < before + sentences


# --- voices


async def test_a_voice_of_ones_own(own):
    provider = tts_providers()
    assert [model.name for model in provider.models(PiperSettings(model=str(own)))] == [str(own), f"{own}.json"]
    assert [model.name for model in provider.models(PiperSettings())] == ["piper-joe-medium"]
    hub = provider.models(PiperSettings(model="someone/voices:de/tom.onnx"))
    assert [model.name for model in hub] == ["someone/voices:de/tom.onnx", "someone/voices:de/tom.onnx.json"]
    await load(model=str(own))


def test_another_language_is_read_by_its_own_rules(own):
    config = own.with_name("mine.onnx.json")
    german = {**json.loads(config.read_text()), "language": {"code": "de_DE"}, "espeak": {"voice": "de"}}
    config.unlink()
    config.write_text(json.dumps(german))
    speaker = PiperSpeaker(Voice.load(LocalModel(own), LocalModel(config), threads=1, language="de-AT"))
    plain, marked = (samples(speaker.synthesize(text)) for text in ("Guten Tag 42.", "**Guten** Tag 😀 42."))
    assert 0.7 < len(marked) / len(plain) < 1.4
    (piece,) = speaker.synthesize("Zweiundvierzig.")
    assert {"CH", "DD"} <= {viseme.shape for viseme in next(speaker.synthesize("Deutsch")).visemes}
    assert {"SS", "FF"} <= {viseme.shape for viseme in piece.visemes}
    assert list(speaker.synthesize("😀 **")) == []


async def test_a_voice_that_tells_no_durations_leaves_the_mouth_to_the_sound(own):
    graph = onnx.load(own)
    graph.graph.node.append(onnx.helper.make_node("Ceil", ["scales"], ["another"]))
    own.unlink()
    onnx.save(graph, own)
    provider = tts_providers()
    service = provider.create(PiperSettings(model=str(own)), CharacterContext("Iris", threads=1))
    await service.load()
    down, _ = await run_test(service, frames_to_send=[TTSSpeakFrame("Hello.")])
    sound = [frame for frame in down if isinstance(frame, TTSAudioRawFrame)]
    assert sound and not any(isinstance(frame, SpeechFrame) for frame in sound)


async def wrong(kind, words, **settings):
    with pytest.raises(AnimacyError, match=words) as caught:
        await load(**settings)
    assert type(caught.value) is kind and caught.value.remedy


async def test_what_is_wrong_with_a_voice_is_said(own, tmp_path):
    config = own.with_name("mine.onnx.json")
    described = json.loads(config.read_text())
    config.unlink()
    await wrong(ModelError, r"tts\.model: .*none\.onnx", model=str(tmp_path / "none.onnx"))
    await wrong(ModelError, r"tts\.model: someone/voices does not say which voice", model="someone/voices")
    await wrong(ModelError, r"tts\.model: mine\.onnx needs mine\.onnx\.json", model=str(own))
    config.write_text("{")
    await wrong(ModelError, r"tts\.model: cannot read .*mine\.onnx\.json", model=str(own))
    config.write_text("{}")
    await wrong(ModelError, r"(?s)tts\.model: .*does not describe a Piper voice", model=str(own))
    config.write_text(json.dumps({**described, "phoneme_type": "pinyin"}))
    await wrong(ModelError, r"tts\.model: .*pinyin", model=str(own))
    config.write_text(json.dumps(described))
    own.unlink()
    own.write_bytes(b"not a model")
    await wrong(ModelError, r"tts\.model: .*mine\.onnx is not an ONNX model", model=str(own))
    own.unlink()
    shutil.copy(packaged("all-minilm-l6-v2-int8").ensure() / "model.onnx", own)
    await wrong(ModelError, r"tts\.model: .*mine\.onnx is not a Piper voice", model=str(own))


async def test_it_speaks_its_own_language_with_its_own_voice():
    await wrong(RecipeError, r"tts\.model: .*speaks en-US, the character de-DE", language="de-DE")
    await wrong(RecipeError, r"tts\.voice: .*only one voice.*'bf_emma'", voice="bf_emma")
    await load(language="en-GB")
    provider = tts_providers()
    beside_another = provider.create(PiperSettings(), CharacterContext("Iris", voice="bf_emma"))
    await beside_another.load()
    await beside_another.cleanup()


def test_a_voice_with_several_speakers(own):
    config = own.with_name("mine.onnx.json")
    several = {**json.loads(config.read_text()), "num_speakers": 3, "speaker_id_map": {"ann": 0, "bob": 2}}
    config.unlink()
    config.write_text(json.dumps(several))
    voice = Voice.load(LocalModel(own), LocalModel(config), threads=1, language="en-US")
    assert (voice.find("carl"), voice.speaker("bob"), voice.speaker("1")) == (None, 2, 1)
    with pytest.raises(RecipeError, match=r"(?s)no speaker 'carl'.*ann, bob"):
        voice.speaker("carl")


def test_without_its_package_the_line_that_installs_it_is_said(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("animacy.plugins.piper.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(PluginError, match=r"(?s)piper-tts.*pip install 'animacy\[piper\]'"):
        tts_providers().create(PiperSettings(), CharacterContext("Iris"))
