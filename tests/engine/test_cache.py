"""The cache of keys and values: its arithmetic, and cached generation against forwards without a cache."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d

from animacy.engine.cache import KVCache, RollingWindow
from animacy.engine.errors import EngineError
from animacy.engine.kernels import rotate_keys
from animacy.engine.kernels.qk_norm_rope import rotate
from animacy.engine.models import VideoDiT
from animacy.engine.models.dit import Conditions
from animacy.engine.models.rope import RotaryEmbedding
from animacy.engine.weights import random_
from tests.engine.helpers import TINY, angles, relative

CONFIG = replace(TINY.dit, text_dim=None, audio=None)
ROWS, COLUMNS = 2, 3
GRID = ROWS, COLUMNS
TOKENS = ROWS * COLUMNS
TIMESTEP = torch.tensor([[400.0]])


def run_cached(model, latents, *, sink, window, chunk=1, max_position=64, memory=0, pool=(2, 2)):
    """Commit the frames chunk by chunk, the first alone, and collect the predictions."""
    stream = replace(TINY.stream, sink=sink, window=window, chunk=chunk, memory=memory, pool=pool)
    rope = RotaryEmbedding(CONFIG)
    places = RollingWindow(sink, window, max_position, memory)
    cache = KVCache(CONFIG, stream, rope, len(latents), GRID, torch.float32, torch.device("cpu"))
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
        commit(cache, places, range(len(piece)), placement, count, chunk)
    return torch.cat(out, dim=2)


def commit(cache, places, sessions, placement, frames, chunk):
    """Count `frames` that were written as placed, and prepare the cache for the next chunk, as the engine does."""
    back = places.advance(frames)
    leaving = places.leaving(chunk)
    for n in sessions:
        cache.keep_sink(n, placement, frames)
        if leaving is not None:
            cache.pool(n, leaving)
        if back:
            cache.turn_back(n, back)


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


@pytest.mark.parametrize("max_position", [64, 19], ids=["", "turned back"])
@pytest.mark.parametrize(("sink", "chunk"), [(0, 1), (1, 1), (3, 2)])
def test_a_memory_that_averages_nothing_is_a_longer_window(model, sink, chunk, max_position):
    latents = video(27, batch=2)
    common = {"sink": sink, "chunk": chunk}
    longer = run_cached(model, latents, window=6, **common)
    split = run_cached(model, latents, window=2, memory=4, pool=(1, 1), max_position=max_position, **common)
    assert relative(split, longer) <= 1e-5


def test_a_frame_counts_until_window_and_memory_are_over():
    """With one layer keys do not depend on what their frame saw, so a frame can only be seen in the cache."""
    model = random_(VideoDiT(replace(CONFIG, num_layers=1)))
    latents = video(12)

    def last(changed):
        other = latents.clone()
        other[:, :, changed] += 1
        return run_cached(model, other, sink=1, window=3, memory=4)[:, :, -1]

    unchanged = run_cached(model, latents, sink=1, window=3, memory=4)[:, :, -1]
    counts = [frame for frame in range(12) if not torch.equal(last(frame), unchanged)]
    assert counts == [0, *range(5, 12)]


@pytest.mark.parametrize("fp8", [False, True], ids=["", "fp8"])
def test_hundreds_of_frames_are_remembered_as_if_all_had_been_kept(fp8):
    """Against all frames kept as they were made, turned to where they belong and averaged afresh for each chunk."""
    sink, window, memory, chunk, grid, limit = 3, 4, 6, 2, (3, 5), 26
    dit = replace(CONFIG, num_layers=1)
    stream = replace(TINY.stream, sink=sink, window=window, memory=memory, chunk=chunk, pool=(2, 3), fp8_cache=fp8)
    rope, places = RotaryEmbedding(dit), RollingWindow(sink, window, limit, memory)
    cache = KVCache(dit, stream, rope, 2, grid, torch.float32, torch.device("cpu"))
    kept = torch.randn(2, 301, prod(grid), dit.num_heads, dit.head_dim)

    def turned(keys, position):
        at = rope.angles(torch.tensor([position]), *grid)
        return rotate(keys, at.cos, at.sin)

    def averaged(tokens):
        picture = tokens.flatten(1).T.unflatten(1, grid)
        return avg_pool2d(picture, (2, 3), ceil_mode=True).flatten(1).T.unflatten(1, tokens.shape[1:])

    def expected(latest):
        oldest = max(sink, latest - window - memory)
        slots = {frame: (turned(kept[0, frame], oldest - sink + frame - places.base), kept[1, frame])
                 for frame in range(min(sink, latest))}  # fmt: skip
        for frame in range(oldest, latest):
            pair = turned(kept[0, frame], frame - places.base), kept[1, frame]
            if frame >= latest - window:
                slots[sink + (frame - sink) % window] = pair
            else:
                slots[sink + window + (frame - sink) % memory] = tuple(averaged(one) for one in pair)
        return [torch.cat(rows) for rows in zip(*(slots[slot] for slot in sorted(slots)), strict=True)]

    def write(placement, keys, values):
        new = torch.stack([turned(one, placement.position + i) for i, one in enumerate(keys)])
        at = torch.tensor([placement.numbers()] * 2)
        # The second session, so that one is in front of it; the first is given what nobody should see.
        new, values = (torch.stack((torch.full_like(one, 9.0), one)).flatten(1, 2) for one in (new, values))
        _, *found = cache.window(at).update(0, new, new, values)
        return [one.float()[1, cache.seen(at)[1, 0, 0]] for one in found]

    key, value = turned(kept[0, 0], 0)[None], kept[1, 0][None]
    cache.first(1).update(0, key, key, value)
    commit(cache, places, [1], places.place(1), 1, chunk)
    for frame in range(1, 301, chunk):
        placement, new = places.place(chunk), slice(frame, frame + chunk)
        if frame % 5 == 0:
            write(placement, *torch.randn(2, chunk, *kept.shape[2:]))  # given up
        for mine, wanted in zip(write(placement, *kept[:, new]), expected(frame + chunk), strict=True):
            assert mine.shape == wanted.shape
            # FP8 rounds up to three times: what is written, turned, and averaged.
            assert relative(mine, wanted) <= (0.2 if fp8 else 1e-5)
        commit(cache, places, [1], placement, chunk, chunk)


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
    st.integers(0, 4),
    st.integers(1, 4),
    st.integers(0, 4),
    st.integers(1, 3),
    st.integers(0, 20),
    st.lists(st.booleans(), max_size=150),
)
def test_places(sink_chunks, window_chunks, memory_chunks, chunk, spare, given_up):
    sink = sink_chunks if chunk == 1 else 1 + sink_chunks * chunk
    window, memory = window_chunks * chunk, memory_chunks * chunk
    limit = sink + 2 * (window + memory) + window - 1 + spare
    places = RollingWindow(sink, window, limit, memory)
    held, turns = {}, Counter()
    for frames in (1, *(chunk,) * len(given_up)):
        if given_up and given_up.pop():
            places.place(frames)
        placement = places.place(frames)
        first = places.frame
        assert placement.position >= 0 and placement.position + frames <= limit
        assert 0 <= placement.sink_shift < limit
        for i in range(frames):
            held[placement.slot + i] = first + i
        assert sorted(held) == list(range(placement.seen))
        latest = first + frames
        remembered = range(max(min(sink, latest), latest - window - memory), latest)
        assert sorted(held.values()) == [*range(min(sink, latest)), *remembered]
        assert all(slot < sink + window for slot, frame in held.items() if frame >= latest - window)
        # The sink stands right behind the oldest frame of the memory, and what was turned back was turned once.
        if latest > sink:
            assert placement.sink_shift + sink == remembered[0] - places.base
        assert all(turns[frame] <= 1 for frame in remembered)
        if places.advance(frames):
            turns.update(remembered)
        if leaving := places.leaving(chunk):
            for i in range(leaving.frames):
                held[sink + window + leaving.remembered + i] = held[leaving.slot + i]


def test_positions_too_few_are_refused():
    with pytest.raises(EngineError, match="rotary positions"):
        RollingWindow(4, 4, 10)
