"""The real voice: what it says, when its mouth moves, how it starts and stops."""

import asyncio
import itertools
import json
import secrets
import time
from importlib.resources import files

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from pipecat.frames.frames import (
    ErrorFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.tests.utils import SleepFrame, run_test

from animacy.core.errors import ModelError, RecipeError
from animacy.core.models import LocalModel, packaged
from animacy.core.pipeline.clauses import ClauseAggregator
from animacy.core.pipeline.frames import SpeechFrame
from animacy.core.pipeline.voice import LocalTTS, Speech, resampled
from animacy.core.provider import CharacterContext
from animacy.core.shared import Share
from animacy.core.spoken.english import speakable
from animacy.core.video.contract import VISEME_SHAPES
from animacy.plugins.kokoro import KokoroSettings, tts_providers
from animacy.plugins.kokoro.g2p import MAX_SYMBOLS, Phonemizer, split_phonemes, vocabulary
from animacy.plugins.kokoro.graph import split
from animacy.plugins.kokoro.network import SAMPLE_RATE, Network
from animacy.plugins.kokoro.speaker import Speaker
from animacy.plugins.kokoro.timing import audible, energies, phones
from animacy.plugins.kokoro.voices import find_voice, voices
from animacy.plugins.kokoro.windows import WindowSettings, decode_windows, plan_windows
from animacy.plugins.whisper.recogniser import Recogniser
from tests.conftest import QUESTIONS, ROOT

LONG = "The museum keeps a great many paintings that nobody has looked at for a hundred years or more"


class CountingNetwork(Network):
    """Counts the windows it decodes."""

    windows = 0

    def decode(self, plan, start, end):
        self.windows += 1
        return super().decode(plan, start, end)


@pytest.fixture(scope="module")
def network():
    made = CountingNetwork(packaged("kokoro-82m-int8"))
    made.load()
    return made


@pytest.fixture(scope="module")
def speaker(network):
    made = Speaker(network, find_voice("af_heart", "en-US"))
    made.load()
    return made


@pytest.fixture(scope="module")
def american():
    return Phonemizer()


@pytest.fixture(scope="module")
def british():
    return Phonemizer(is_british=True)


@pytest.fixture(scope="module")
def recogniser():
    made = Recogniser(packaged("whisper-base"))
    made.load()
    return made


def service_of(speaker):
    share = Share(("kokoro", "test"), lambda: speaker)
    return LocalTTS(share, name="kokoro", model="kokoro-82m-int8", voice="af_heart", language="en-US")


def samples(pieces):
    return np.concatenate([np.frombuffer(piece.pcm, np.int16) for piece in pieces]).astype(np.float32) / 32768


def heard(recogniser, sound, rate=SAMPLE_RATE):
    return recogniser.transcribe(soxr.resample(sound, rate, 16_000)).text.lower()


# --- text


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("It opens at 9:30 a.m., not at 17:00.", "It opens at nine thirty A.M., not at seventeen hundred hours."),
        (
            "From 1503–1519, in 2005 or the 1920s",
            "From fifteen oh three to fifteen nineteen, in two thousand and five or the nineteen twenties",
        ),
        ("$3.50, £1 and €2.5 million", "three dollars and fifty cents, one pound and two point five million euros"),
        ("77 cm × 53 cm at 20°C", "seventy seven centimeters by fifty three centimeters at twenty degrees Celsius"),
        ("On May 5, 1889 the 3rd", "On May fifth, eighteen eighty nine the third"),
        ("Dr. No, e.g. Louis XIV & co", "Doctor No, for example Louis the fourteenth and co"),
        ("1,000,000 is 1/2 of 3.25%", "one million is one half of three point two five percent"),
        ("**Bold** `code`\n- [a link](http://x.y)", "Bold code a link"),
        ("Write to iris@museum.org!", "Write to iris at museum dot org!"),
        ("Wow 😀!!! café 你好", "Wow! cafe"),
        ("", ""),
    ],
)
def test_what_is_written_becomes_words(written, spoken):
    assert speakable(written) == spoken


@settings(deadline=None, max_examples=40)
@given(st.one_of(st.text(max_size=80), st.from_regex(r"[\w$€%.,:/° '-]{0,40}", fullmatch=True)))
def test_any_text_gives_valid_tokens(american, british, text):
    for phonemize in (american, british):
        for part in phonemize(text):
            assert 0 < len(part) <= MAX_SYMBOLS
            assert all(symbol in vocabulary() for symbol in part)


@given(st.text("ab ,.", max_size=300), st.integers(8, 40))
def test_long_phonemes_are_cut_without_loss(phonemes, limit):
    parts = split_phonemes(phonemes, limit)
    assert all(len(part) <= limit + 1 for part in parts)
    assert "".join(parts).replace(" ", "") == phonemes.replace(" ", "")


@pytest.mark.parametrize("text", ["", "  ", "😀😀", "你好", "...", "?!", "—", "**", "```"])
def test_what_cannot_be_said_is_silent(speaker, text):
    assert list(speaker.synthesize(text)) == []


def test_accents_differ(american, british):
    assert american("The water in the car park, after all.") == ["ðə wˈɔTəɹ ɪn ðə kˈɑɹ pˈɑɹk, ˈæftəɹ ˈɔl."]
    assert british("The water in the car park, after all.") == ["ðə wˈɔːtəɹ ɪn ðə kˈɑː pˈɑːk, ˈɑːftəɹ ˈɔːl."]


# --- settings


def test_a_wrong_voice_names_the_closest_and_all_others():
    with pytest.raises(RecipeError, match=r"(?s)af_hart.*Did you mean 'af_heart'.*bm_george"):
        find_voice("af_hart", "en-US")


def test_languages():
    assert find_voice(None, "en-GB").british
    assert not find_voice(None, "en-US").british
    with pytest.raises(RecipeError, match=r"(?s)de-DE.*en-US or en-GB"):
        find_voice(None, "de-DE")


def test_the_provider_makes_the_service():
    provider = tts_providers()
    context = CharacterContext("Iris", voice="bm_fable", language="en-GB")
    service = provider.create(provider.settings(speed=1.2), context)
    assert isinstance(service, LocalTTS)
    assert [model.name for model in provider.models(provider.settings())] == ["kokoro-82m-int8"]
    with pytest.raises(ValueError, match="speed"):
        KokoroSettings(speed=3)


def test_bundled_voices_are_what_the_manifest_says():
    import hashlib

    folder = files("animacy.plugins.kokoro")
    manifest = json.loads(folder.joinpath("voices.json").read_text("utf-8"))
    assert hashlib.sha256(folder.joinpath("voices.safetensors").read_bytes()).hexdigest() == manifest["sha256"]
    for voice in voices().values():
        assert voice.styles().shape == (510, 256)


def test_a_wrong_model_is_named(tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"other\.onnx"):
        Network(LocalModel(other)).load()


def test_the_split_is_made_once(network):
    model = network.model.ensure()
    began = {path: path.stat().st_mtime_ns for path in split(model)}
    assert {path: path.stat().st_mtime_ns for path in split(model)} == began


# --- sound


def test_it_says_what_is_written(speaker, recogniser):
    sound = samples(speaker.synthesize("The Mona Lisa was painted by Leonardo between 1503 and 1519."))
    said = heard(recogniser, sound)
    assert "mona lisa was painted by leonardo between 1503 and 1519" in said.replace(",", "")
    assert 0.1 < np.abs(sound).max() < 1.0


def test_windows_sound_like_one_piece(network, speaker):
    """Windows are as loud as speech decoded at once, and no step at a seam is the steepest of its 10 ms."""
    plan = plan_of(network, speaker, LONG)
    cut = WindowSettings()
    energy = energies(plan)
    first, last = audible(plan)
    windows = plan_windows(energy, first, last, cut)
    assert [end for _, end in windows[:-1]] == [start for start, _ in windows[1:]]
    pieces = list(decode_windows(lambda a, b: network.decode(plan, a, b), windows, energy, cut))
    assert [len(piece) for piece in pieces] == [(end - start) * 600 for start, end in windows]
    joined, whole = np.concatenate(pieces), network.decode(plan, 0, plan.frames)[first * 600 : last * 600]
    for start, end in windows:
        here = slice((start - first) * 600, (end - first) * 600)
        assert abs(decibels(joined[here]) - decibels(whole[here])) < 2.5
    steps = np.abs(np.diff(joined))
    for start, _ in windows[1:]:
        seam = (start - first) * 600 - 1
        assert steps[seam] <= max(steps[seam - 120 : seam - 1].max(), steps[seam + 2 : seam + 120].max())
    envelope = [np.sqrt(np.convolve(x**2, np.ones(1200) / 1200, "same")[::600]) for x in (joined, whole)]
    assert np.corrcoef(envelope)[0, 1] > 0.9


def decibels(sound):
    return 10 * np.log10(np.mean(np.square(sound)))


def plan_of(network, speaker, text):
    phonemes = speaker._phonemize(text)[0]
    return network.encode([vocabulary()[symbol] for symbol in phonemes], speaker.voice.styles(), 1.0)


@pytest.mark.parametrize("name", ["af_heart", "am_puck", "bf_emma"])
def test_the_mouth_moves_with_the_sound(network, name):
    """The loudness of the sound fits the shapes best within 30 ms of where they are."""
    speaker = Speaker(network, find_voice(name, "en-US"))
    pieces = list(speaker.synthesize("Bob, a cook, put a big copper teapot beside a tall black clock."))
    sound = samples(pieces)
    rate = 200
    level = 20 * np.log10(np.sqrt(np.convolve(sound**2, np.ones(240) / 240, "same")[:: SAMPLE_RATE // rate]) + 1e-3)
    shape = np.zeros(len(level))
    for viseme in pieces[0].visemes:
        here = slice(round(viseme.start * rate), round(viseme.end * rate))
        shape[here] = {"PP": -1, "DD": -1, "kk": -1, "sil": -1.5}.get(viseme.shape, 0)
        if viseme.shape in ("aa", "E", "I", "O", "U"):
            shape[here] = 1
    fits = {lag: np.corrcoef(np.roll(level, -lag), shape)[0, 1] for lag in range(-30, 31)}
    best = max(fits, key=fits.__getitem__)
    assert abs(best) / rate <= 0.03
    assert fits[best] > 0.5


def test_visemes_come_first_and_reach_to_the_end(speaker):
    pieces = list(speaker.clause(f"{LONG}."))
    assert len(pieces) > 3
    assert not any(piece.visemes for piece in pieces[1:])
    visemes, seconds = pieces[0].visemes, len(samples(pieces)) / SAMPLE_RATE
    assert all(viseme.shape in VISEME_SHAPES for viseme in visemes)
    assert all(0 <= a.start < a.end <= b.start + 1e-6 for a, b in itertools.pairwise(visemes))
    assert seconds - 0.6 < visemes[-1].end < seconds + 0.3


def test_silence_around_a_clause_is_short(speaker):
    for text, low, high in (("I like this picture.", 0.2, 0.45), ("I like this picture,", 0.06, 0.32)):
        sound = np.abs(samples(speaker.clause(text)))
        audible = np.flatnonzero(sound > 0.01)
        assert audible[0] / SAMPLE_RATE < 0.12
        assert low < (len(sound) - audible[-1]) / SAMPLE_RATE < high


def test_a_loud_voice_is_not_clipped(network):
    bella = Speaker(network, find_voice("af_bella", "en-US"))
    sound = samples(bella.synthesize("I have read many books about this painting, because I like it very much."))
    assert 0.3 < np.abs(sound).max() < 0.92


def test_speed(network, speaker):
    quick = Speaker(network, speaker.voice, speed=1.5)
    plain, fast = (len(samples(voice.clause("A short sentence about nothing."))) for voice in (speaker, quick))
    assert 0.55 < fast / plain < 0.85


def test_a_very_long_text_is_said_to_its_end(speaker):
    text = " ".join(["word"] * 400)
    parts = speaker._phonemize(text)
    assert sum(part.count("w") for part in parts) == 400
    assert all(len(part) <= MAX_SYMBOLS for part in parts)


def test_resampling_keeps_length_and_mouth():
    tone = (np.sin(np.arange(24_000) / 10) * 9000).astype(np.int16).tobytes()
    pieces = [Speech(tone[:20_000], ()), Speech(tone[20_000:], ())]
    out = b"".join(piece.pcm for piece in resampled(iter(pieces), 24_000, 16_000))
    assert abs(len(out) / 2 - 16_000) <= 1
    assert list(resampled(iter(pieces), 24_000, 24_000)) == pieces


def test_plosives_are_closed_where_the_sound_is(network, speaker):
    plan = plan_of(network, speaker, "A copper teapot.")
    sounds = phones(speaker._phonemize("A copper teapot.")[0], plan)
    level = np.abs(network.decode(plan, 0, plan.frames))
    middle = next(sound for sound in sounds if sound.symbol == "p")
    around = slice(int((middle.start - 0.06) * SAMPLE_RATE), int((middle.end + 0.06) * SAMPLE_RATE))
    quietest = np.convolve(level[around], np.ones(240) / 240, "valid").min()
    assert quietest < 0.1 * level.max()


def test_openings_are_spoken_once_for_all_starts(network, cache):
    voice, text = find_voice("af_heart", "en-US"), f"Well, {secrets.token_hex(2)}."

    def started():
        before = network.windows
        made = Speaker(network, voice, openings=[text])
        made.load()
        return network.windows - before, list(made.synthesize(text))

    first, second = started(), started()
    assert first[0] > second[0] and first[1] == second[1] and first[1][0].visemes
    (file,) = (cache / "kokoro-clauses").glob("[!.]*")
    file.write_bytes(file.read_bytes()[:-100])
    assert started() == first


# --- service


def answer(*texts):
    return [LLMFullResponseStartFrame(), *map(LLMTextFrame, texts), LLMFullResponseEndFrame()]


async def said_by(service, frames):
    down, up = await run_test(service, frames_to_send=frames)
    return down, up


async def test_an_answer_is_started_spoken_and_stopped(speaker):
    service = service_of(speaker)
    assert isinstance(service._text_aggregator, ClauseAggregator)
    down, _ = await said_by(service, [*answer("I like", " it here, very", " much. Do", " you?"), SleepFrame(0.1)])
    speech = [frame for frame in down if isinstance(frame, SpeechFrame)]
    assert sum(bool(frame.visemes) for frame in speech) == 3
    assert speech[0].visemes and all(frame.num_channels == 1 for frame in speech)
    kinds = [type(frame) for frame in down if isinstance(frame, (TTSStartedFrame, SpeechFrame, TTSStoppedFrame))]
    assert [kind for kind, _ in itertools.groupby(kinds)] == [TTSStartedFrame, SpeechFrame, TTSStoppedFrame]


async def test_a_whole_text_is_spoken(speaker):
    down, _ = await said_by(service_of(speaker), [TTSSpeakFrame("Hello. I am here.")])
    assert sum(bool(frame.visemes) for frame in down if isinstance(frame, SpeechFrame)) == 2


async def test_nothing_to_say_is_no_failure_of_the_service(speaker):
    down, up = await said_by(service_of(speaker), [*answer("😀 "), *answer("Fine, thanks.")])
    assert any(isinstance(frame, SpeechFrame) for frame in down)
    assert not [frame for frame in up if isinstance(frame, ErrorFrame) and frame.exception]


async def test_a_last_clause_without_sound_delays_nobody(speaker):
    """Pipecat would wait for its sound until the service's timeout, and the next answer with it."""
    async with asyncio.timeout(25):
        down, _ = await said_by(service_of(speaker), [*answer("Fine, thanks. 😀 "), *answer("And you?")])
    assert sum(isinstance(frame, TTSStoppedFrame) for frame in down) == 2


@pytest.mark.realtime
async def test_an_interruption_stops_after_the_window_being_made(network, speaker):
    service = service_of(speaker)
    sentence = f"{LONG}, {LONG.lower()}, {LONG.lower()}."
    before = network.windows
    assert len(list(plan_windows(np.zeros(900, np.float32), 0, 700, WindowSettings()))) > 8

    frames = [TTSSpeakFrame(sentence), SleepFrame(2.0), InterruptionFrame(), SleepFrame(1.0)]
    down, _ = await said_by(service, frames)
    at_interruption = next(i for i, frame in enumerate(down) if isinstance(frame, InterruptionFrame))
    assert not any(isinstance(frame, SpeechFrame) for frame in down[at_interruption:])
    stopped = network.windows
    assert before < stopped < before + 9
    await asyncio.sleep(0.7)
    assert network.windows == stopped


@pytest.mark.realtime
async def test_it_runs_off_the_event_loop(speaker):
    ticks = []

    async def tick():
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    await said_by(service_of(speaker), [TTSSpeakFrame("A sentence of a few words to be spoken.")])
    ticking.cancel()
    assert max(np.diff(ticks)) < 0.25


# --- recordings


def test_the_questions_are_there_and_sane():
    listed = json.loads((QUESTIONS / "questions.json").read_text("utf-8"))["questions"]
    assert {question["file"] for question in listed} >= {f"{i:02d}.flac" for i in range(1, 11)}
    for question in listed:
        sound, rate = soundfile.read(QUESTIONS / question["file"])
        assert rate == 16_000 and sound.ndim == 1
        assert 1.5 < len(sound) / rate < 4.6
        assert 0.15 < np.abs(sound).max() < 0.9


def test_the_demo_question_is_understood(recogniser):
    sound, rate = soundfile.read(ROOT / "recipes" / "iris" / "question.flac", dtype="float32")
    assert "loved the mona lisa, but why is she so famous" in heard(recogniser, sound, rate)
