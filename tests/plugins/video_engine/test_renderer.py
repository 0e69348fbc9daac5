"""The video engine's renderer on the real engine, driven by the clock that drives every renderer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from animacy.core.errors import AnimacyError, InputError
from animacy.core.film import read_audio
from animacy.core.provider import CharacterContext
from animacy.core.video.contract import Portrait, Renderer, VideoFormat
from animacy.core.video.image import Anchors, Point
from animacy.core.video.runner import VideoRunner
from animacy.engine.process import EngineProcess
from animacy.plugins.video_engine import video_providers
from animacy.plugins.video_engine.picture import fit, reference
from tests.conftest import QUESTIONS

VIDEO = VideoFormat(160, 120, 24, 24_000)
CHUNK = 4 * VIDEO.samples_per_frame
TINY = {"preset": "tiny", "devices": ["cpu"]}
SPEECH = read_audio(sorted(QUESTIONS.glob("*.flac"))[0], VIDEO.sample_rate).tobytes()[: 2 * 50_000]

pytestmark = pytest.mark.filterwarnings("ignore:the engine runs preset tiny with random weights")


def make(sessions=1, **settings):
    provider = video_providers()
    checked = provider.settings.model_validate({**TINY, **settings})
    return provider.create(checked, CharacterContext("Iris", sessions=sessions))


@contextlib.asynccontextmanager
async def running(renderer, picture, video=VIDEO):
    """A runner in real time, and the chunks that left it."""
    assert isinstance(renderer, Renderer)
    chunks = []

    async def emit(chunk):
        chunks.append(chunk)
        return True

    runner = VideoRunner(renderer, video, emit)
    try:
        await runner.prepare(Portrait(picture))
        runner.start()
        yield runner, chunks
    finally:
        await runner.close()
        await runner.close()


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is in the renderer's hands
            await asyncio.sleep(0.02)


def shared_memory():
    return set(Path("/dev/shm").iterdir())


def spoken(chunks, turn):
    return b"".join(chunk.pcm[: 2 * chunk.speech] for chunk in chunks if chunk.turn == turn)


async def test_speech_an_interruption_and_silence(engine, picture):
    async with running(make(), picture) as (runner, chunks):
        await until(lambda: len(chunks) >= 2)
        first = runner.begin_turn()
        for start in range(0, len(SPEECH), 6000):
            await runner.push_audio(SPEECH[start : start + 6000], first, None)
        runner.end_turn(first)
        await until(lambda: not runner.speaking)

        second = runner.begin_turn()
        await runner.push_audio(SPEECH, second, None)
        runner.end_turn(second)
        await until(lambda: len(spoken(chunks, second)) > 2 * CHUNK)
        runner.interrupt()
        cut = len(chunks)
        await until(lambda: len(chunks) > cut + 4)
        third = runner.begin_turn()
        await runner.push_audio(SPEECH[:20_000], third, None)
        runner.end_turn(third)
        await until(lambda: not runner.speaking)

    assert [chunk.index for chunk in chunks] == [4 * k for k in range(len(chunks))]
    assert all(len(chunk.frames) == 4 and len(chunk.pcm) == 2 * CHUNK for chunk in chunks)
    assert all(frame.shape == (120, 160, 3) and frame.dtype == np.uint8 for chunk in chunks for frame in chunk.frames)
    # Every sample once and in order; what is no speech is silence.
    assert spoken(chunks, first) == SPEECH
    assert SPEECH.startswith(spoken(chunks, second))
    assert spoken(chunks, third) == SPEECH[:20_000]
    assert not any(any(chunk.pcm[2 * (chunk.speech or 0) :]) for chunk in chunks)
    # From the very next chunk on nobody speaks.
    assert all(chunk.turn is None and not any(chunk.pcm) for chunk in chunks[cut : cut + 5])
    # Listening is motion, and a figure goes on where it was.
    assert all(np.any(a.frames[3] != b.frames[0]) for a, b in pairwise(chunks))


async def test_what_is_said_is_seen_and_only_then(engine, picture):
    """Same seed: the video is the same until the speech is heard by the engine, and another one from then on."""

    async def film(speech):
        renderer = make()
        await renderer.start(Portrait(picture), VIDEO)
        try:
            chunks, frames = aiter(renderer), []
            for k in range(5):
                if k == 2 and speech:
                    renderer.push_audio(SPEECH[30_000:], VIDEO.sample_rate, 1, None)
                frames.append(np.stack((await anext(chunks)).frames))
            return frames
        finally:
            await renderer.close()

    silent, said = await film(False), await film(True)
    differs = [bool((a != b).any()) for a, b in zip(silent, said, strict=True)]
    # A chunk may be under way already when the speech comes.
    assert differs in ([False, False, True, True, True], [False, False, False, True, True])


async def test_the_chunk_that_is_being_drawn_when_interrupted_has_no_sound(engine, picture):
    renderer = make()
    await renderer.start(Portrait(picture), VIDEO)
    try:
        chunks = aiter(renderer)
        await anext(chunks)
        renderer.push_audio(SPEECH, VIDEO.sample_rate, 1, None)
        drawing = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        assert not drawing.done()
        renderer.interrupt(1)
        for chunk in (await drawing, await anext(chunks)):
            assert chunk.turn is None and not any(chunk.pcm) and chunk.speech in (0, None)
        renderer.push_audio(SPEECH, VIDEO.sample_rate, 1, None)  # too late
        renderer.push_audio(SPEECH, VIDEO.sample_rate, 2, None)
        later = [await anext(chunks) for _ in range(3)]
        assert SPEECH.startswith(spoken(later, 2)) and spoken(later, 2)
    finally:
        await renderer.close()


async def test_two_share_an_engine_and_a_third_is_refused(engine, picture):
    first, second, third = (make(sessions=2) for _ in range(3))
    try:
        async with running(first, picture) as (_, one), running(second, picture) as (_, two):
            await until(lambda: len(one) > 6 and len(two) > 6)
            assert first._own.value is second._own.value
            await third.start(Portrait(picture), VIDEO)
            with pytest.raises(AnimacyError, match="all 2 sessions"):
                await anext(aiter(third))
        chunk = await anext(aiter(third))  # there is room again
        assert len(chunk.frames) == 4
    finally:
        await third.close()


async def test_a_killed_engine_is_told_and_the_next_conversation_has_a_new_one(engine, picture):
    waiting = make()  # holds the engine, as a server between conversations does
    await waiting.start(Portrait(picture), VIDEO)
    before = shared_memory()
    try:
        async with running(make(), picture) as (runner, chunks):
            await until(lambda: len(chunks) > 3)
            assert shared_memory() == before
            os.kill(waiting._own.value.pid, signal.SIGKILL)
            with pytest.raises(AnimacyError, match="was killed by SIGKILL"):
                await asyncio.wait_for(runner.wait(), 10)
        async with running(make(), picture) as (_, chunks):
            await until(lambda: len(chunks) > 3)
    finally:
        await waiting.close()
    assert shared_memory() <= before


async def test_nothing_is_left_when_all_have_gone(engine, picture):
    renderer = make()
    async with running(renderer, picture) as (_, chunks):
        await until(lambda: chunks)
        process = renderer._own.value
        pid, socket = process.pid, process.address.path
    await until(lambda: not (socket.parent.exists() or Path(f"/proc/{pid}").exists()))


async def test_an_engine_of_another_process_is_used_by_its_address(engine, picture):
    from animacy.engine.serve import EngineOptions

    process = await asyncio.to_thread(EngineProcess(EngineOptions(preset="tiny", devices=("cpu",))).start)
    provider = video_providers()
    try:
        settings = provider.settings(address=str(process.address))
        renderer = provider.create(settings, CharacterContext("Iris"))
        async with running(renderer, picture) as (_, chunks):
            await until(lambda: len(chunks) > 2)
        assert process.pid is not None
    finally:
        await asyncio.to_thread(process.close)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "nowhere"}, "no folder of weights at .*nowhere"),
        ({"devices": ["cuda:99"]}, "no device 'cuda:99'"),
    ],
)
async def test_an_engine_that_cannot_start_says_why(engine, picture, settings, message):
    renderer = make(**settings)
    with pytest.raises(AnimacyError, match=message):
        await renderer.start(Portrait(picture), VIDEO)
    await renderer.close()


async def test_a_preset_of_another_rate_is_refused(engine, picture):
    renderer = make()
    with pytest.raises(InputError, match=r"Set video.fps to 24"):
        await renderer.start(Portrait(picture), VideoFormat(160, 120, 25, 24_000))
    await renderer.close()


async def test_an_address_without_an_engine_says_how_to_start_one(picture, tmp_path):
    provider = video_providers()
    renderer = provider.create(provider.settings(address=str(tmp_path / "none")), CharacterContext("Iris"))
    with pytest.raises(AnimacyError, match="animacy engine serve"):
        await renderer.start(Portrait(picture), VIDEO)
    await renderer.close()
    await renderer.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "huge"}, "choose one of .*tiny"),
        ({"preset": "tiny", "size": (100, 64)}, "multiples of"),
        ({"address": "10.0.0.1:80"}, "127.0.0.1:PORT"),
        ({"address": "engine.sock", "preset": "tiny"}, "started with its own preset"),
        ({"devices": ["gpu"]}, "devices"),
    ],
)
def test_wrong_settings_say_what_is_right(settings, message):
    with pytest.raises(ValidationError, match=message):
        video_providers().settings.model_validate(settings)


def test_pictures_are_cut_around_the_face_and_scaled_once(tmp_path):
    from PIL import Image

    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 200:300] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    right = Anchors(*(Point(x, 50) for x in (240, 260, 245, 255)))
    assert reference(Portrait(tmp_path / "wide.png"), 64, 64).mean() < 1
    assert reference(Portrait(tmp_path / "wide.png", right), 64, 64).mean() > 254
    same = fit(pixels, 300, 100)
    assert np.array_equal(same, pixels) and not np.shares_memory(same, pixels)
