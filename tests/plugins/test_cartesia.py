"""The official SDK against a server that speaks Cartesia's documented protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
from functools import partial

import numpy as np
import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.tests.utils import SleepFrame, run_test
from typer.testing import CliRunner

from animacy.core.errors import AnimacyError, InputError, RecipeError
from animacy.core.pipeline.frames import SpeechFrame
from animacy.core.provider import CharacterContext
from animacy.core.video.contract import Viseme
from animacy.plugins.cartesia import CartesiaSettings, tts_providers
from animacy.plugins.cartesia.commands import cartesia_app
from animacy.plugins.cartesia.mouth import Mouth
from tests.core.pipeline.studio import conversation, until
from tests.wire.cartesia import Manner, cartesia_server
from tests.wire.server import Refusal

KEY = "sk_car_secret"
RATE = 24_000
BUSY = {
    "status_code": 429,
    "error_code": "concurrency_limited",
    "title": "Too many concurrent requests",
    "message": ".",
}


def service(server, **settings):
    chosen = CartesiaSettings(**{"api_key": KEY, "base_url": server.url, "voice": "voice-1", **settings})
    return tts_providers().create(chosen, CharacterContext("Iris", "en-GB"))


def answer(*texts, wait=0.0):
    yield LLMFullResponseStartFrame()
    for text in texts:
        yield LLMTextFrame(text)
        if wait:
            yield SleepFrame(wait)
    yield LLMFullResponseEndFrame()


async def said_by(tts, frames):
    params = PipelineParams(audio_out_sample_rate=RATE, enable_metrics=True)
    down, up = await run_test(tts, frames_to_send=list(frames), pipeline_params=params)
    return down, [frame.error for frame in up if isinstance(frame, ErrorFrame)]


def seconds(frames):
    return round(sum(len(f.audio) for f in frames if isinstance(f, TTSAudioRawFrame)) / 2 / RATE, 3)


def text(frames):
    return " ".join(frame.text for frame in frames if isinstance(frame, TTSTextFrame))


def words(frames):
    """Words, with their seconds after the first one."""
    told = [frame for frame in frames if isinstance(frame, TTSTextFrame)]
    return [(frame.text, round((frame.pts - told[0].pts) / 1e9, 2)) for frame in told]


def visemes(frames):
    """Mouth shapes with their seconds in the answer's sound."""
    found, begin = [], 0.0
    for frame in frames:
        if isinstance(frame, TTSAudioRawFrame):
            shapes = frame.visemes if isinstance(frame, SpeechFrame) else ()
            found += [(v.shape, round(begin + v.start, 2), round(begin + v.end, 2)) for v in shapes]
            begin += len(frame.audio) / 2 / RATE
    return found


async def test_an_answer_is_spoken_in_one_context_with_its_words_timed():
    async with cartesia_server() as server:
        tts = service(server, speed=1.2, emotion="content")
        down, errors = await said_by(tts, answer("Puma, go with me. ", "Judge me."))
    assert not errors
    assert server.transcripts == ["Puma, go with me. ", "Judge me. "]
    assert len({request["context_id"] for request in server.requests}) == 1
    first, *_, last = server.requests
    assert first["continue"] and not last["continue"] and first["voice"] == {"mode": "id", "id": "voice-1"}
    assert first["output_format"] == {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE}
    assert first["generation_config"] == {"speed": 1.2, "emotion": "content"} and first["language"] == "en-GB"
    assert seconds(down) == 2.4
    assert words(down) == [("Puma,", 0), ("go", 0.4), ("with", 0.8), ("me.", 1.2), ("Judge", 1.6), ("me.", 2.0)]
    assert [type(f) for f in down if isinstance(f, TTSStartedFrame | TTSStoppedFrame)] == [
        TTSStartedFrame,
        TTSStoppedFrame,
    ]


@pytest.mark.parametrize("late", [False, True])
async def test_phonemes_move_the_mouth_whether_they_come_before_their_sound_or_after(late):
    async with cartesia_server(Manner(late=late)) as server:
        down, _ = await said_by(service(server), [TTSSpeakFrame("Puma.")])
    assert visemes(down) == [
        ("PP", 0.1, 0.16),
        ("I", 0.16, 0.22),
        ("U", 0.22, 0.28),
        ("PP", 0.28, 0.34),
        ("E", 0.34, 0.4),
    ]
    pcm = np.concatenate([np.frombuffer(f.audio, "<i2") for f in down if isinstance(f, TTSAudioRawFrame)])
    assert not pcm[: RATE // 10].any() and abs(pcm[RATE // 10 :]).max() > 7000


def test_sound_whose_phonemes_are_known_is_not_held_back():
    mouth, tenth = Mouth(RATE, waits=True), bytes(2 * RATE // 10)
    assert list(mouth.phonemes([("m", 0.0, 0.1)])) == []
    assert [speech.visemes for speech in mouth.sound(tenth)] == [(Viseme("PP", 0.0, 0.1),)]
    assert list(mouth.sound(tenth)) == []
    assert [speech.visemes for speech in mouth.sound(tenth)] == [None]  # nothing is known of the one before


async def test_without_visemes_the_sound_is_not_held_back():
    async with cartesia_server() as server:
        down, _ = await said_by(service(server, visemes=False), [TTSSpeakFrame("Puma.")])
    assert not server.requests[0]["add_phoneme_timestamps"]
    assert seconds(down) == 0.4 and not any(isinstance(frame, SpeechFrame) for frame in down)


async def test_an_interruption_cancels_the_context():
    story = " ".join(["word"] * 40) + "."
    async with cartesia_server(Manner(pace=0.02)) as server:
        frames = [*answer(story), SleepFrame(0.5), InterruptionFrame(), SleepFrame(0.2)]
        down, errors = await said_by(service(server), frames)
        chunks = server.chunks
        assert server.cancelled == [server.requests[0]["context_id"]] and 0 < chunks < 60
    cut = next(i for i, frame in enumerate(down) if isinstance(frame, InterruptionFrame))
    assert not any(isinstance(frame, TTSAudioRawFrame) for frame in down[cut:]) and not errors


async def test_after_an_interruption_the_next_answer_is_spoken():
    async with cartesia_server(Manner(pace=0.02)) as server:
        frames = [*answer("word " * 40), SleepFrame(0.3), InterruptionFrame(), *answer("Go."), SleepFrame(0.3)]
        down, _ = await said_by(service(server), frames)
    cut = next(i for i, frame in enumerate(down) if isinstance(frame, InterruptionFrame))
    assert seconds(down[cut:]) == 0.4 and text(down[cut:]) == "Go."


async def test_a_connection_that_breaks_in_an_answer_is_taken_up_at_the_word():
    async with cartesia_server(Manner(breaks_after=1.0), Manner()) as server:
        down, errors = await said_by(service(server), answer("Puma, go with me - please. ", "Judge me."))
    assert errors == ["the connection to Cartesia broke; trying again in 0.25 s"]
    assert server.transcripts[-1] == "me - please. Judge me. "
    assert text(down) == "Puma, go with me - please. Judge me."
    assert seconds(down) == 3.0  # the dash is one of the server's words
    starts = dict(words(down))
    assert starts["please."] > 1.2


async def test_words_are_heard_with_their_sound_and_no_later_ones_are_remembered():
    """Each word takes 0.4 s, and the server speaks far ahead of what is heard."""
    story = " ".join(["Puma,"] + ["go"] * 30) + "."
    async with cartesia_server(Manner(pace=0.0)) as server, conversation(tts=service(server)) as scene:
        await scene.worker.queue_frames([*answer(story)])
        await until(lambda: len(scene.room.words) == 4)
        moment, _ = scene.room.words[-1]
        spoken = sum(chunk.speech for time, chunk in scene.room.chunks if chunk.turn is not None and time <= moment)
        assert abs(spoken / RATE - 1.3) < 0.1
        await scene.worker.queue_frame(InterruptionFrame())
        await until(lambda: scene.said)
        assert scene.said == [("assistant", " ".join(word for _, word in scene.room.words))]
        assert 4 <= len(scene.room.words) <= 6


async def test_an_answer_whose_context_expired_goes_on():
    async with cartesia_server() as server:
        server.expires = 0.1
        down, errors = await said_by(service(server), answer("Puma, go with me. ", "Judge me. ", wait=0.5))
    assert not errors and text(down) == "Puma, go with me. Judge me." and seconds(down) == 2.4
    assert server.transcripts == ["Puma, go with me. ", "Judge me. "]
    assert words(down)[4] == ("Judge", 1.6)
    assert len({request["context_id"] for request in server.requests}) > 1


async def test_a_slow_server_is_waited_for():
    async with cartesia_server(Manner(pace=0.12)) as server:
        down, errors = await said_by(service(server), [TTSSpeakFrame("Go now.")])
    assert seconds(down) == 0.8 and not errors


async def test_too_many_at_once_are_waited_out_and_told():
    async with cartesia_server(Manner(error=BUSY)) as server:
        down, errors = await said_by(service(server), answer("Puma, go. ", "Judge me."))
    assert text(down) == "Puma, go. Judge me." and seconds(down) == 1.6
    assert errors == ["Cartesia has had too many requests; trying again in 0.5 s"]


async def test_too_many_connections_are_waited_out_as_long_as_it_asks():
    async with cartesia_server(Manner(Refusal(429, {"Retry-After": "0.6"})), Manner()) as server:
        down, errors = await said_by(service(server), [TTSSpeakFrame("Go.")])
    assert text(down) == "Go."
    assert errors == ["Cartesia has had too many requests; trying again in 0.6 s"]


async def test_malformed_messages_are_left_out():
    broken = ("{", "[]", "7", "{}", '{"type": "chunk"}', '{"type": "chunk", "context_id": null, "data": "?"}')
    async with cartesia_server(Manner(first=broken)) as server:
        down, errors = await said_by(service(server), [TTSSpeakFrame("Puma.")])
        assert server.connections == 1
    assert text(down) == "Puma." and not errors


@pytest.mark.parametrize(
    ("refusal", "message", "remedy"),
    [
        (Refusal(401), "Cartesia does not accept the key", "set the variable that tts.api_key names"),
        (
            Refusal(402, body=json.dumps({"title": "Out of credits", "message": f"for {KEY}"})),
            "Cartesia wants to be paid: Out of credits: for ***",
            "see the account's balance",
        ),
        (
            Refusal(429, {"Retry-After": "600"}),
            "Cartesia has had too many requests",
            "wait 600 s, as it asks, or raise the account's limit",
        ),
    ],
)
async def test_what_cannot_be_mended_by_waiting_ends_it(refusal, message, remedy):
    async with cartesia_server(Manner(refusal)) as server:
        with pytest.raises(AnimacyError) as raised:
            await service(server).load()
        assert str(raised.value) == f"{message}\n  {remedy}" and KEY not in str(raised.value)
        _, errors = await said_by(service(server), [TTSSpeakFrame("Go."), SleepFrame(0.2)])
        assert f"{message}\n  {remedy}" in errors


async def test_an_unknown_voice_ends_it_with_the_servers_words():
    unknown = {"status_code": 404, "title": "Voice not found", "message": "No voice voice-1", "error_code": "x"}
    async with cartesia_server(Manner(error=unknown)) as server:
        _, errors = await said_by(service(server), [TTSSpeakFrame("Go."), SleepFrame(0.2)])
    wanted = (
        "Cartesia does not take the settings: Voice not found: No voice voice-1\n  correct the recipe's tts section"
    )
    assert wanted in errors


async def test_it_gives_up_after_so_many_attempts():
    async with cartesia_server(Manner(Refusal(503))) as server:
        tts = service(server, attempts=2)
        await tts.load()  # it is there, if busy
        _, errors = await said_by(tts, [SleepFrame(0.6)])
    again, final = errors
    assert again == "Cartesia answered with status 503; trying again in 0.25 s"
    assert final == "Cartesia answered with status 503\n  see the service's own status page or log"


async def test_a_server_that_is_not_there():
    class Nowhere:
        url = "http://127.0.0.1:9"

    with pytest.raises(AnimacyError, match=r"cannot be reached at http://127.0.0.1:9\n  see whether it runs, and tts"):
        await service(Nowhere).load()


async def test_cancelling_hangs_up():
    async with cartesia_server(Manner(pace=0.05)) as server:
        task = asyncio.create_task(said_by(service(server), [TTSSpeakFrame("word " * 40), SleepFrame(30)]))
        await asyncio.sleep(0.8)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        chunks = server.chunks
        await asyncio.sleep(0.3)
        assert chunks > 0 and server.chunks <= chunks + 1


def test_it_needs_a_voice_and_shows_no_key():
    with pytest.raises(RecipeError, match="needs a voice"):
        tts_providers().create(CartesiaSettings(api_key=KEY), CharacterContext("Iris"))
    assert KEY not in repr(CartesiaSettings(api_key=KEY))


async def test_voices_are_listed_and_cloned_on_the_command_line(tmp_path):
    clip = tmp_path / "clip.wav"
    clip.write_bytes(b"RIFF")
    async with cartesia_server() as server:

        async def run(*arguments, key=KEY):
            invoke = partial(CliRunner().invoke, cartesia_app, env={"CARTESIA_API_KEY": key})
            return await asyncio.to_thread(invoke, [*map(str, arguments), "--base-url", server.url])

        listed = await run("voices", "ada")
        assert listed.stdout == "voice-1  en     Ada: Clear and calm\n", listed.exception
        cloned = await run("clone", clip, "--name", "Me")
        assert cloned.stdout == "voice-2\n" and server.clips == [b"RIFF"], cloned.exception
        refused = await run("voices", key="wrong")
        assert str(refused.exception) == "Cartesia does not accept the key\n  Set CARTESIA_API_KEY to a valid one."
        missing = await run("clone", tmp_path / "none.wav", "--name", "Me")
        assert isinstance(missing.exception, InputError)
