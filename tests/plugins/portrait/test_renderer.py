"""The portrait renderer through its public surface: what is pushed in, what is seen and heard."""

from __future__ import annotations

import asyncio
import itertools

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from animacy.core.errors import InputError
from animacy.core.video.contract import CharacterState, Portrait, Renderer, Viseme
from animacy.core.video.image import Anchors, Point
from tests.plugins.portrait.conftest import FORMAT, PICTURE, Stage, make_renderer

RATE, SLOT, FPS = FORMAT.sample_rate, FORMAT.samples_per_frame, FORMAT.fps


def buzz(envelope: np.ndarray) -> bytes:
    """A voice-like sound with a loudness (0 to 1) for each sample."""
    time = np.arange(len(envelope)) / RATE
    wave = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 14))
    return (envelope * wave * 6000).astype("<i2").tobytes()


def syllables(seconds: float) -> tuple[bytes, list[Viseme], np.ndarray]:
    """Sound, visemes and the openness per frame of irregular syllables between closed lips."""
    random = np.random.default_rng(5)
    visemes, envelope, time = [], np.zeros(int(seconds * RATE)), 0.0
    while time + 0.5 < seconds:
        shut, open_ = random.uniform(0.08, 0.16), random.uniform(0.14, 0.3)
        visemes += [Viseme("PP", time, time + shut), Viseme("aa", time + shut, time + shut + open_)]
        a, b = int((time + shut) * RATE), int((time + shut + open_) * RATE)
        envelope[a:b] = np.hanning(b - a)
        time += shut + open_
    track = envelope[: len(envelope) // SLOT * SLOT].reshape(-1, SLOT).mean(1)
    return buzz(envelope), visemes, track


def best_lag(measured: np.ndarray, wanted: np.ndarray, most: int = 5) -> tuple[float, int]:
    """The highest correlation over lags, and that lag in frames (positive: the picture is late)."""
    inner = slice(most, len(wanted) - most)
    found = [
        (float(np.corrcoef(np.roll(measured, -lag)[inner], wanted[inner])[0, 1]), lag) for lag in range(-most, most + 1)
    ]
    return max(found)


@pytest.mark.parametrize("timed", [True, False], ids=["visemes", "sound alone"])
async def test_mouth_follows_speech_in_time_and_closes_after_it(stage, meter, timed):
    pcm, visemes, track = syllables(3.0)
    closed = meter.lips((await stage.play(2))[-1])
    stage.renderer.push_audio(pcm, RATE, 1, visemes if timed else None)
    stage.renderer.end_turn(1)
    spoken = await stage.play(len(track))
    lips = np.array([meter.lips(c) for c in spoken])
    together = float(np.corrcoef(lips, track)[0, 1])
    correlation, lag = best_lag(lips, track)
    assert together >= 0.6
    assert correlation >= 0.6 and abs(lag) / FPS <= 0.06
    assert lips.max() > closed + 0.12
    after = await stage.play(6)
    assert meter.lips(after[-1]) < closed + 0.03


async def test_lips_touch_for_bilabials(stage, meter):
    closed = meter.lips((await stage.play(2))[-1])
    word = [Viseme("aa", 0, 0.3), Viseme("PP", 0.3, 0.39), Viseme("aa", 0.39, 0.7)]
    stage.renderer.push_audio(buzz(np.ones(int(0.7 * RATE))), RATE, 1, word)
    lips = [meter.lips(c) for c in await stage.play(16)]
    assert max(lips[3:6]) > closed + 0.12 and max(lips[11:15]) > closed + 0.12
    assert min(lips[7:10]) < closed + 0.03


async def test_idle_moves_in_every_frame_and_blinks(stage, meter):
    chunks = await stage.play(FPS * 7)
    assert all(c.pcm == bytes(2 * SLOT) and c.turn is None for c in chunks)
    pictures = [c.frames[0].astype(np.int16) for c in chunks]
    changes = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(pictures)]
    assert min(changes) > 0
    assert max(changes) < 6  # and nothing jumps
    x, y = meter.face(chunks[0]).points[468, :2].astype(int)
    rgb = np.stack([p[y - 9 : y + 10, x - 9 : x + 10] for p in pictures])
    green = (rgb[..., 1] > rgb[..., 0] + 20).sum((1, 2))  # the iris
    assert green.min() < 0.25 * np.median(green)  # shut at least once
    shut = green < 0.5 * np.median(green)
    assert 0.02 < shut.mean() < 0.25
    assert meter.blink(chunks[int(green.argmin())]) > 2 * meter.blink(chunks[int(green.argmax())])


async def test_interrupt_closes_the_mouth_and_refuses_what_comes_late(stage, meter):
    closed = meter.lips((await stage.play(1))[-1])
    stage.renderer.push_audio(buzz(np.ones(RATE)), RATE, 7, [Viseme("aa", 0, 1)])
    talking = await stage.play(8)
    assert talking[-1].turn == 7 and meter.lips(talking[-1]) > closed + 0.12
    stage.renderer.interrupt(7)
    stage.renderer.push_audio(buzz(np.ones(RATE)), RATE, 7, [Viseme("aa", 0, 1)])
    after = await stage.play(6)
    assert all(c.pcm == bytes(2 * SLOT) and c.turn is None for c in after)
    assert all(meter.lips(chunk) < closed + 0.03 for chunk in after[1:])
    stage.renderer.push_audio(buzz(np.ones(SLOT)), RATE, 6, None)  # an older turn
    stage.renderer.push_audio(b"\1\0" * SLOT, RATE, 8, None)
    assert (await stage.play(1))[0].pcm == b"\1\0" * SLOT


async def test_interrupt_while_a_frame_is_drawn_silences_that_frame(stage):
    stage.renderer.push_audio(b"\1\0" * SLOT * 4, RATE, 1, [])
    drawing = asyncio.ensure_future(anext(stage.chunks))
    await asyncio.sleep(0)
    stage.renderer.interrupt(1)
    chunk = await drawing
    assert chunk.pcm == bytes(2 * SLOT) and chunk.turn is None


async def test_late_speech_keeps_every_sample_and_indexes_go_on(stage):
    sent = np.arange(1, SLOT * 3 + 301, dtype="<i2").tobytes()
    stage.renderer.push_audio(sent[: SLOT * 3], RATE, 1, [])  # one slot and a half
    first = await stage.play(3)
    stage.renderer.push_audio(sent[SLOT * 3 :], RATE, 1, [])
    stage.renderer.end_turn(1)
    chunks = first + await stage.play(4)
    assert [c.index for c in chunks] == list(range(7))
    assert all(len(c.pcm) == 2 * SLOT and len(c.frames) == 1 for c in chunks)
    heard = b"".join(c.pcm for c in chunks if any(c.pcm))
    assert heard[: len(sent)] == sent and not any(heard[len(sent) :])
    assert chunks[-1].turn is None
    assert sum(c.speech for c in chunks) == len(sent) // 2


def test_any_push_sizes_come_out_in_order():
    loop = asyncio.new_event_loop()
    renderer = make_renderer()
    loop.run_until_complete(renderer.start(Portrait(PICTURE), FORMAT))
    stage, turn = Stage(renderer), iter(range(1, 1000))

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, 3 * SLOT), min_size=1, max_size=5))
    def check(sizes: list[int]) -> None:
        number = next(turn)
        sent = np.random.default_rng(number).integers(1, 999, sum(sizes), dtype="<i2").tobytes()
        at = 0
        for size in sizes:
            renderer.push_audio(sent[at : at + 2 * size], RATE, number, None)
            at += 2 * size
        renderer.end_turn(number)
        chunks = loop.run_until_complete(stage.play(-(-sum(sizes) // SLOT) + 1))
        heard = b"".join(c.pcm for c in chunks)
        assert heard[: len(sent)] == sent and not any(heard[len(sent) :])
        assert chunks[-1].turn is None

    check()
    loop.run_until_complete(renderer.close())
    loop.close()


def creature(path) -> Anchors:
    """A fuzzy ball with two great eyes, which no face detector takes for a face."""
    picture = np.full((480, 480, 3), (90, 140, 120), np.uint8)
    cv2.ellipse(picture, (240, 280), (170, 180), 0, 0, 360, (60, 160, 70), -1, cv2.LINE_AA)
    for x in (150, 330):
        cv2.circle(picture, (x, 220), 52, (250, 250, 250), -1, cv2.LINE_AA)
        cv2.circle(picture, (x, 220), 22, (20, 20, 20), -1, cv2.LINE_AA)
    cv2.line(picture, (200, 345), (280, 345), (20, 60, 30), 4, cv2.LINE_AA)
    noise = np.random.default_rng(0).integers(-8, 8, picture.shape)
    cv2.imwrite(str(path), np.clip(picture + noise, 0, 255).astype(np.uint8))
    return Anchors(Point(150, 220), Point(330, 220), Point(200, 345), Point(280, 345))


async def test_anchors_make_a_creature_talk_and_blink(tmp_path):
    anchors = creature(tmp_path / "ball.png")
    renderer = make_renderer(motion=0)
    await renderer.start(Portrait(tmp_path / "ball.png", anchors), FORMAT)
    stage = Stage(renderer)
    still = (await stage.play(1))[0].frames[0].astype(int)
    renderer.push_audio(buzz(np.ones(RATE)), RATE, 1, [Viseme("aa", 0, 1)])
    spoken = (await stage.play(8))[-1].frames[0].astype(int)
    change = np.abs(spoken - still).sum(2)
    rows, columns = np.nonzero(change > 60)
    assert len(rows) > 100  # the mouth is open, between the two eyes and below them
    assert abs(np.median(columns) - FORMAT.width / 2) < 0.08 * FORMAT.width
    assert np.median(rows) > FORMAT.height / 2
    white = [int((f.frames[0].min(2) > 225).sum()) for f in await stage.play(FPS * 6)]
    assert min(white) < 0.35 * max(white)  # the lids cover the eyes
    await renderer.close()


async def test_a_picture_without_a_face_asks_for_anchors(tmp_path):
    creature(tmp_path / "ball.png")
    renderer = make_renderer()
    with pytest.raises(InputError, match=r"no face was found") as error:
        await renderer.start(Portrait(tmp_path / "ball.png"), FORMAT)
    assert "anchors:" in str(error.value) and "left_eye:" in str(error.value)
    await renderer.close()


async def test_same_seed_same_frames():
    frames = []
    for _ in range(2):
        renderer = make_renderer(seed=3)
        await renderer.start(Portrait(PICTURE), FORMAT)
        frames.append((await Stage(renderer).play(20))[-1].frames[0])
        await renderer.close()
    assert np.array_equal(*frames)


async def test_frames_stay_valid_and_close_may_be_called_at_any_time(stage):
    first = (await stage.play(1))[0]
    copy = first.frames[0].copy()
    stage.renderer.set_state(CharacterState.THINKING, "happy")
    await stage.play(5)
    assert np.array_equal(first.frames[0], copy)
    assert first.frames[0].shape == (FORMAT.height, FORMAT.width, 3)
    await stage.renderer.close()
    await stage.renderer.close()
    fresh = make_renderer()
    assert isinstance(fresh, Renderer)
    await fresh.close()
