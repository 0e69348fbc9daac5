"""Several sessions on one engine: each is drawn as if it were alone, whoever comes and goes."""

from __future__ import annotations

import pytest
import torch

from animacy.engine.config import Commit
from animacy.engine.errors import EngineError
from animacy.engine.sessions import Sessions
from animacy.engine.stream import Stream
from tests.engine.helpers import TINY, Between, make, picture, with_stream

SIZE = {"height": 64, "width": 64}


@pytest.fixture(scope="module")
def tiny():
    return make(TINY)


def speech(seed):
    audio = TINY.dit.audio
    return torch.randn(1, audio.window, audio.feature_dim, generator=torch.Generator().manual_seed(seed))


def alone(preset, models, seed, chunks):
    """The frames that a session with this seed draws by itself, hearing `speech(seed)` all the time."""
    stream = Stream(preset, *models, **SIZE, seed=seed)
    stream.start(picture(64, 64, seed))
    return [stream.step(speech(seed)) for _ in range(chunks)]


def differ(a, b):
    return (a.int() - b.int()).abs().max()


@pytest.mark.parametrize("commit", Commit)
@pytest.mark.parametrize("fp8", [False, True], ids=["", "fp8"])
def test_sessions_that_come_and_go_draw_what_each_would_alone(tiny, commit, fp8):
    preset = with_stream(TINY, commit=commit, fp8_cache=fp8, window=2, memory=2)
    engine = Sessions(preset, *tiny, **SIZE, capacity=3)
    numbers, drawn = {}, {}
    # When sessions come and go, in iterations: so that they are at different ages, and one moves to another place.
    coming, going = {0: [1], 2: [2, 3], 6: [4]}, {5: [1], 8: [3]}
    for iteration in range(10):
        for seed in going.get(iteration, []):
            engine.release(numbers.pop(seed))
        for seed in coming.get(iteration, []):
            numbers[seed], _ = engine.admit(picture(64, 64, seed), seed=seed)
        frames = engine.step({number: speech(seed) for seed, number in numbers.items()}).wait()
        for seed, number in numbers.items():
            drawn.setdefault(seed, []).append(frames[number].clone())
    assert {seed: len(chunks) for seed, chunks in drawn.items()} == {1: 5, 2: 8, 3: 6, 4: 4}
    for seed, chunks in drawn.items():
        for mine, expected in zip(chunks, alone(preset, tiny, seed, len(chunks)), strict=True):
            # In FP8 a rounding may fall to the other side.
            assert differ(mine, expected) <= (24 if fp8 else 1)


def test_a_session_with_a_prompt_changes_nothing_for_one_without(tiny):
    engine = Sessions(TINY, *tiny, **SIZE, capacity=2)
    number, _ = engine.admit(picture(64, 64, 1), seed=1)
    engine.admit(picture(64, 64, 2), torch.randn(3, TINY.dit.text_dim), seed=2)
    for expected in alone(TINY, tiny, 1, 4):
        assert differ(engine.step({number: speech(1)}).wait()[number], expected) <= 1


def test_fp8_keys_and_values_change_little(tiny):
    exact = alone(TINY, tiny, 1, 6)[-1]
    rounded = alone(with_stream(TINY, fp8_cache=True), tiny, 1, 6)[-1]
    error = (exact.float() - rounded.float()).square().mean().sqrt()
    assert 0 < error < 0.2 * exact.float().std()


def test_an_interruption_gives_up_the_chunk_of_one_session_only(tiny):
    dit, vae = tiny
    between = Between(dit)
    engine, undisturbed = (Sessions(TINY, model, vae, **SIZE, capacity=2) for model in (between, dit))
    for one in (engine, undisturbed):
        for seed in (1, 2):
            one.admit(picture(64, 64, seed), seed=seed)
        one.step().wait()
    between.call = lambda: engine.interrupt(0)
    frames = engine.step().wait()
    between.call = lambda: None
    assert frames[0] is None
    expected = undisturbed.step().wait()
    assert differ(frames[1], expected[1]) <= 1
    # The first session goes on from before: with fresh noise, so compare with one whose noise was drawn once more.
    single = Stream(TINY, *tiny, **SIZE, seed=1)
    single.start(picture(64, 64, 1))
    single.step()
    single._sessions._denoiser.draw(1)
    assert differ(engine.step().wait()[0], single.step()) <= 1


def test_a_full_engine_says_so_and_takes_the_next_when_one_has_left(tiny):
    engine = Sessions(TINY, *tiny, **SIZE, capacity=1)
    first, _ = engine.admit(picture(64, 64))
    with pytest.raises(EngineError, match="all 1 sessions of the engine are taken"):
        engine.admit(picture(64, 64))
    engine.release(first)
    second, _ = engine.admit(picture(64, 64))
    assert second != first and engine.live == [second]


def test_a_session_moves_between_engines(tiny):
    here, there = (Sessions(TINY, *tiny, **SIZE, capacity=2) for _ in range(2))
    number, _ = here.admit(picture(64, 64, 1), seed=1)
    for _ in range(4):
        here.step({number: speech(1)}).wait()
    there.admit(picture(64, 64, 5))
    taken, _ = there.admit(picture(64, 64, 6))
    there.load_state_dict(taken, here.state_dict(number))
    for _ in range(3):
        expected = here.step({number: speech(1)}).wait()[number]
        assert differ(there.step({taken: speech(1)}).wait()[taken], expected) <= 1


def test_the_time_of_a_chunk_is_told(tiny):
    engine = Sessions(TINY, *tiny, **SIZE)
    engine.admit(picture(64, 64))
    first, second = engine.step(), engine.step()
    assert 0 < first.denoise.start < first.denoise.end <= first.decode.start < first.decode.end
    assert second.denoise.start > first.denoise.end


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda engine: engine.release(7), "no session 7"),
        (lambda engine: engine.interrupt(7), "no session 7"),
        (lambda engine: engine.step(), "no session"),
        (lambda engine: engine.admit(picture(64, 96)), "resize it to 64x64"),
    ],
)
def test_what_cannot_be_done_says_why(tiny, call, message):
    with pytest.raises(EngineError, match=message):
        call(Sessions(TINY, *tiny, **SIZE))
