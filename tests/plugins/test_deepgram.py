"""The official SDK against a server that speaks Deepgram's documented protocol."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.tests.utils import SleepFrame, run_test

from animacy.core.errors import AnimacyError
from animacy.core.pipeline.frames import ForeseenTranscriptFrame
from animacy.core.provider import CharacterContext
from animacy.plugins.deepgram import DeepgramSettings, stt_providers
from tests.wire.deepgram import Manner, deepgram_server
from tests.wire.server import Refusal
from tests.wire.speech import RATE, Ears, recording, words_of

KEY = "dg-secret"
QUESTION = "Who painted the Mona Lisa?"
EARS = Ears(tuple(words_of(QUESTION)))
SECONDS = 2.4
TOO_MANY = Refusal(429, {"Retry-After": "0.4", "dg-error": "Too many requests."})


def service(server, **settings):
    chosen = DeepgramSettings(**{"api_key": KEY, "base_url": server.url, **settings})
    return stt_providers().create(chosen, CharacterContext("Iris", "en-GB"))


def sound(seconds=SECONDS, since=0.0, each=0.1):
    """Frames of a recording, as a microphone sends them but twenty times as fast."""
    for index in range(round(seconds / each)):
        yield InputAudioRawFrame(recording(each, since=since + index * each), RATE, 1)
        yield SleepFrame(each / 20)


def utterance(seconds=SECONDS, wait=0.3):
    yield VADUserStartedSpeakingFrame(start_secs=0.1)
    yield from sound(seconds)
    yield VADUserStoppedSpeakingFrame(stop_secs=0.2, timestamp=time.time())
    yield SleepFrame(wait)


async def heard(stt, frames, **options):
    params = PipelineParams(audio_in_sample_rate=RATE, enable_metrics=True)
    down, up = await run_test(stt, frames_to_send=list(frames), pipeline_params=params, **options)
    return down, [frame.error for frame in up if isinstance(frame, ErrorFrame)]


def finals(frames):
    return [frame.text for frame in frames if type(frame) is TranscriptionFrame]


async def test_words_come_while_they_are_spoken_and_are_final_at_the_pause():
    async with deepgram_server(EARS) as server:
        stt = service(server, keyterms=("Mona Lisa", "Leonardo"), endpointing=500, mip_opt_out=True)
        down, errors = await heard(stt, [SleepFrame(0.2), *utterance()])
        await server.until_open(0)
    assert not errors
    interim = [frame.text for frame in down if type(frame) is InterimTranscriptionFrame]
    assert interim[0] == "Who" and interim[-1] == QUESTION
    (final,) = [frame for frame in down if type(frame) is TranscriptionFrame]
    assert final.text == QUESTION and final.finalized and final.language == "en-GB"
    assert next(f.text for f in reversed(down) if isinstance(f, ForeseenTranscriptFrame)) == QUESTION
    assert down.index(final) > next(i for i, f in enumerate(down) if isinstance(f, ForeseenTranscriptFrame))
    (query,) = server.queries
    assert query["model"] == ["nova-3"] and query["language"] == ["en-GB"] and query["sample_rate"] == ["16000"]
    assert query["keyterm"] == ["Mona Lisa", "Leonardo"] and query["endpointing"] == ["500"]
    assert query["interim_results"] == ["true"] and query["mip_opt_out"] == ["true"]


async def test_a_cough_is_known_to_hold_no_words():
    async with deepgram_server(Ears(())) as server:
        down, errors = await heard(service(server), [SleepFrame(0.2), *utterance(0.5)])
    assert not errors and not finals(down)
    assert [frame.text for frame in down if isinstance(frame, ForeseenTranscriptFrame)] == [""]


async def test_a_connection_that_breaks_in_a_word_loses_none():
    async with deepgram_server(EARS, Manner(breaks_after=1.15), Manner()) as server:
        down, errors = await heard(service(server), [SleepFrame(0.2), *utterance(wait=0.8)])
        assert len(server.sounds) == 2
    assert finals(down) == [QUESTION]
    (error,) = errors
    assert error == "the connection to Deepgram broke; trying again in 0.25 s"


async def test_what_was_final_before_the_break_is_not_said_twice():
    pause = Ears((*words_of("Who painted"), *words_of("the Mona Lisa?", pause=1.5)))
    async with deepgram_server(pause, Manner(breaks_after=2.0), Manner()) as server:
        down, _ = await heard(service(server), [SleepFrame(0.2), *utterance(3.0, wait=0.8)])
    assert finals(down) == ["Who painted", "the Mona Lisa?"]


async def test_sound_from_before_the_connection_is_understood():
    async with deepgram_server(EARS, Manner(open_delay=0.3)) as server:
        down, errors = await heard(service(server), utterance(wait=0.6))
    assert finals(down) == [QUESTION] and not errors


async def test_no_more_sound_is_kept_than_was_said():
    """Without a connection for 2.4 s, the last second is kept."""
    async with deepgram_server(EARS, Manner(open_delay=0.5)) as server:
        await heard(service(server, kept_seconds=1.0), utterance(wait=0.8))
        (kept,) = server.sounds
        assert bytes(kept) == recording(1.0, since=SECONDS - 1.0)


async def test_a_slow_server_is_waited_for():
    async with deepgram_server(EARS, Manner(delay=0.06)) as server:
        down, errors = await heard(service(server), [SleepFrame(0.2), *utterance(wait=1.5)])
    assert finals(down) == [QUESTION] and not errors


async def test_too_many_requests_are_waited_out_and_told():
    async with deepgram_server(EARS, Manner(TOO_MANY), Manner()) as server:
        down, errors = await heard(service(server), utterance(wait=0.9))
    assert finals(down) == [QUESTION]
    assert errors == ["Deepgram has had too many requests; trying again in 0.4 s"]


async def test_malformed_messages_are_left_out():
    broken = ("{", "[]", '"Results"', '{"type": "Results"}', '{"type": "Results", "start": 0, "duration": 0.1}', "{}")
    empty = '{"type": "Results", "start": 0, "duration": 0.1, "is_final": true, "channel": {"alternatives": []}}'
    async with deepgram_server(EARS, Manner(first=(*broken, empty))) as server:
        down, errors = await heard(service(server), [SleepFrame(0.2), *utterance()])
        assert len(server.sounds) == 1
    assert finals(down) == [QUESTION] and not errors


@pytest.mark.parametrize(
    ("refusal", "message", "remedy"),
    [
        (Refusal(401), "Deepgram does not accept the key", "set the variable that stt.api_key names"),
        (
            Refusal(400, {"dg-error": f"No such model: nova-9 ({KEY})"}),
            "Deepgram does not take the settings: No such model: nova-9 (***)",
            "correct the recipe's stt section",
        ),
        (Refusal(402), "Deepgram wants to be paid", "see the account's balance"),
        (
            Refusal(429, {"Retry-After": "3600"}),
            "Deepgram has had too many requests",
            "wait 3600 s, as it asks, or raise the account's limit",
        ),
    ],
)
async def test_what_cannot_be_mended_by_waiting_ends_it(refusal, message, remedy):
    async with deepgram_server(EARS, Manner(refusal)) as server:
        with pytest.raises(AnimacyError) as raised:
            await service(server).load()
        assert str(raised.value) == f"{message}\n  {remedy}"
        assert KEY not in str(raised.value)
        _, errors = await heard(service(server), sound(0.3))
        assert errors == [f"{message}\n  {remedy}"]


async def test_it_gives_up_after_so_many_attempts():
    async with deepgram_server(EARS, Manner(Refusal(503))) as server:
        stt = service(server, attempts=2)
        await stt.load()  # it is there, if busy
        _, errors = await heard(stt, [SleepFrame(0.6)])
    again, final = errors
    assert again == "Deepgram answered with status 503; trying again in 0.25 s"
    assert final == "Deepgram answered with status 503\n  see the service's own status page or log"


async def test_a_server_that_is_not_there():
    class Nowhere:
        url = "ws://127.0.0.1:9"

    with pytest.raises(AnimacyError, match=r"cannot be reached at ws://127.0.0.1:9\n  see whether it runs, and stt"):
        await service(Nowhere).load()


async def test_it_knocks_once_for_all_conversations():
    async with deepgram_server(EARS) as server:
        first, second = service(server), service(server)
        await first.load()
        await second.load()
        assert len(server.queries) == 1
        await first.cleanup()
        await second.cleanup()


async def test_silence_does_not_close_the_connection(monkeypatch):
    monkeypatch.setattr("animacy.plugins.deepgram.link.KEEP_ALIVE_SECONDS", 0.1)
    async with deepgram_server(EARS) as server:
        server.idle_seconds = 0.4
        down, errors = await heard(service(server), [SleepFrame(1.0), *utterance()])
        assert server.messages.count("KeepAlive") >= 4 and len(server.sounds) == 1
    assert finals(down) == [QUESTION] and not errors


async def test_cancelling_hangs_up():
    async with deepgram_server(EARS) as server:
        task = asyncio.create_task(heard(service(server), [SleepFrame(30)]))
        await server.until_open(1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await server.until_open(0)


def test_a_key_is_not_shown():
    assert KEY not in repr(DeepgramSettings(api_key=KEY))
