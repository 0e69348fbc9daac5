"""The cache of keys and values: its arithmetic, and cached generation against forwards without a cache."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from animacy.engine.cache import KVCache, RollingWindow
from animacy.engine.errors import EngineError
from animacy.engine.kernels import rotate_keys
from animacy.engine.models import VideoDiT
from animacy.engine.models.dit import Conditions
from animacy.engine.models.rope import RotaryEmbedding
from animacy.engine.weights import random_
from tests.engine.helpers import TINY, angles, relative

CONFIG = replace(TINY.dit, text_dim=None, audio=None)
ROWS, COLUMNS = 2, 3
TOKENS = ROWS * COLUMNS
TIMESTEP = torch.tensor([[400.0]])


def run_cached(model, latents, *, sink, window, chunk=1, max_position=64):
    """Commit the frames chunk by chunk, the first alone, and collect the predictions."""
    stream = replace(TINY.stream, sink=sink, window=window, chunk=chunk)
    rope = RotaryEmbedding(CONFIG)
    places = RollingWindow(sink, window, max_position)
    cache = KVCache(CONFIG, stream, rope, len(latents), TOKENS, torch.float32, torch.device("cpu"))
    time, out = model.embed_time(TIMESTEP), []
    for i, piece in enumerate((latents[:, :, :1], *latents[:, :, 1:].split(chunk, dim=2))):
        count = piece.shape[2]
        placement = places.place(count)
        assert placement.position + count <= max_position
        turn = angles(CONFIG, count, ROWS, COLUMNS, placement.position)
        if i == 0:
            parts = [model(piece[[n]], time, turn, Conditions(), cache.first(n)) for n in range(len(piece))]
            out.append(torch.cat(parts))
        else:
            at = torch.tensor([placement.numbers()] * len(piece))
            full = placement.seen == cache.slots
            out.append(model(piece, time, turn, Conditions(), cache.window(at), None if full else cache.seen(at)))
        back = places.advance(count)
        for n in range(len(piece)):
            cache.keep_sink(n, placement, count)
            if back:
                cache.turn_back(n, back)
    return torch.cat(out, dim=2)


def frames_seen(frames, sink, window, chunk):
    """(frames, frames): whether a frame sees another, chunks seeing themselves whole."""
    last = [0 if f == 0 else ((f - 1) // chunk + 1) * chunk for f in range(frames)]
    return torch.tensor(
        [[k <= last[q] and (k < sink or k > last[q] - window) for k in range(frames)] for q in range(frames)]
    )


def run_masked(model, latents, sink, window, chunk=1):
    frames = latents.shape[2]
    mask = frames_seen(frames, sink, window, chunk)
    mask = mask.repeat_interleave(TOKENS, 0).repeat_interleave(TOKENS, 1)
    turn = angles(CONFIG, frames, ROWS, COLUMNS)
    return model(latents, model.embed_time(TIMESTEP), turn, Conditions(), mask=mask)


def video(frames, batch=1):
    return torch.randn(batch, CONFIG.in_channels, frames, 2 * ROWS, 2 * COLUMNS)


@pytest.fixture(scope="module")
def model():
    return random_(VideoDiT(CONFIG))


@pytest.mark.parametrize(
    ("sink", "window", "chunk", "frames"),
    [(1, 8, 1, 8), (0, 3, 1, 9), (3, 4, 2, 7), (1, 6, 3, 7)],
    ids=["growing", "rolling", "chunks with a sink of chunks", "chunks"],
)
def test_cached_generation_equals_one_masked_forward(model, sink, window, chunk, frames):
    latents = video(frames, batch=2)
    cached = run_cached(model, latents, sink=sink, window=window, chunk=chunk)
    assert relative(cached, run_masked(model, latents, sink, window, chunk)) <= 1e-5


@pytest.mark.parametrize("max_position", [64, 12], ids=["", "turned back"])
def test_a_rolled_window_equals_a_forward_over_sink_and_window_side_by_side(max_position):
    """With one layer keys do not depend on what their frame saw, so the rolled state can be computed directly."""
    model = random_(VideoDiT(replace(CONFIG, num_layers=1)))
    sink, window = 2, 3
    latents = video(14)
    cached = run_cached(model, latents, sink=sink, window=window, max_position=max_position)
    turn = angles(CONFIG, sink + window, ROWS, COLUMNS)
    for frame in range(sink + window, 14):
        seen = torch.cat((latents[:, :, :sink], latents[:, :, frame - window + 1 : frame + 1]), dim=2)
        direct = model(seen, model.embed_time(TIMESTEP), turn, Conditions())[:, :, -1]
        assert relative(cached[:, :, frame], direct) <= 1e-5


def test_turning_positions_back_changes_nothing(model):
    latents = video(30)
    far = run_cached(model, latents, sink=1, window=3)
    assert relative(run_cached(model, latents, sink=1, window=3, max_position=9), far) <= 1e-5


def test_the_masked_forward_can_be_trained():
    trained = random_(VideoDiT(CONFIG)).requires_grad_(True)
    run_masked(trained, video(3), sink=1, window=2).square().mean().backward()
    assert all(parameter.grad.abs().max() > 0 for name, parameter in trained.named_parameters() if "k.bias" not in name)


def test_rotations_add_up():
    rope = RotaryEmbedding(CONFIG)
    keys = torch.randn(2, 1, TOKENS, CONFIG.num_heads, CONFIG.head_dim)

    def moved(keys, frames):
        turn, out = rope.shifts(torch.tensor([frames])), torch.empty_like(keys)
        rotate_keys(keys, turn.cos, turn.sin, out)
        return out

    assert torch.equal(moved(keys, 0), keys)
    torch.testing.assert_close(moved(moved(keys, 7), -7), keys)
    torch.testing.assert_close(moved(moved(keys, 3), 4), moved(keys, 7))


@given(
    st.integers(0, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 20), st.lists(st.booleans(), max_size=150)
)
def test_places(sink_chunks, window_chunks, chunk, spare, given_up):
    sink = sink_chunks if chunk == 1 else 1 + sink_chunks * chunk
    window = window_chunks * chunk
    limit = 2 * (sink + window) + spare
    places = RollingWindow(sink, window, limit)
    held = {}
    for frames in (1, *(chunk,) * len(given_up)):
        if given_up and given_up.pop():
            places.place(frames)
        placement = places.place(frames)
        first = places.frame
        assert placement.position >= 0 and placement.position + frames <= limit
        assert abs(placement.sink_shift) < limit
        for i in range(frames):
            held[placement.slot + i] = first + i
        assert sorted(held) == list(range(placement.seen))
        latest = first + frames
        window_frames = range(max(min(sink, latest), latest - window), latest)
        assert set(held.values()) == {*range(min(sink, latest)), *window_frames}
        # The sink stands right behind the oldest frame of the window.
        oldest = min(window_frames, default=sink) - places.base
        if latest > sink:
            assert placement.sink_shift + sink == oldest
        places.advance(frames)


def test_positions_too_few_are_refused():
    with pytest.raises(EngineError, match="rotary positions"):
        RollingWindow(4, 4, 10)
