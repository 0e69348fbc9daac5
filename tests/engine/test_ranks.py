"""A transformer that several processes share draws what it draws in one, and what becomes of them when one ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from animacy.engine.client import EngineClient
from animacy.engine.config import Commit
from animacy.engine.errors import EngineError
from animacy.engine.followers import Followers, Shared
from animacy.engine.layouts import Layout
from animacy.engine.loading import Devices, load_models
from animacy.engine.models import VideoDiT
from animacy.engine.process import EngineProcess
from animacy.engine.ranks import ALONE, Ranks
from animacy.engine.scheduler import Scheduler
from animacy.engine.serve import EngineOptions
from animacy.engine.sessions import Sessions
from animacy.engine.shards import shards
from animacy.engine.weights import export, load_tensors, random_
from tests.engine.helpers import TINY, Between, picture, relative, with_stream

CPU = torch.device("cpu")
CAPACITY = 3
SIX_HEADS = replace(TINY, dit=replace(TINY.dit, num_heads=6, ffn_dim=80))
# So few positions that the cache is turned back within a test.
CLEAN = replace(SIX_HEADS, dit=replace(SIX_HEADS.dit, max_position=10))
ALIGNED = with_stream(CLEAN, commit=Commit.ALIGNED, window=2, memory=1)


@contextlib.contextmanager
def engine(preset, ranks, stripes=1):
    """Sessions of a preset whose transformer and decoder so many processes share."""
    devices = Devices((CPU,) * ranks, (CPU,) * stripes)
    followers = Followers.start(Shared(preset, None, devices, 64, 64, CAPACITY))
    dit, vae = load_models(preset, None, devices, followers.dit.ranks, followers.vae.ranks)
    sessions = Sessions(preset, Between(dit), vae, 64, 64, CAPACITY, followers)
    try:
        yield sessions
    finally:
        sessions.close()


@pytest.fixture(scope="module", params=[(CLEAN, 3, 1), (ALIGNED, 2, 2)], ids=["3 ranks", "2 ranks, 2 stripes"])
def engines(request):
    """One whose transformer is shared, and one that has it alone; nobody is on them."""
    preset, ranks, stripes = request.param
    with engine(preset, ranks, stripes) as shared, engine(preset, 1) as alone:
        yield shared, alone


@pytest.fixture
def both(engines):
    yield engines
    for one in engines:
        for session in one.live:
            one.release(session)


def speech(seed):
    audio = TINY.dit.audio
    return torch.randn(1, audio.window, audio.feature_dim, generator=torch.Generator().manual_seed(seed))


def admit(engine, seed, prompted=False):
    words = torch.randn(4, TINY.dit.text_dim, generator=torch.Generator().manual_seed(seed)) if prompted else None
    return engine.admit(picture(64, 64, seed), words, seed)[0]


def step(engine, heard):
    """Latents and frames of an iteration in which some sessions hear something, by place."""
    live = engine.live
    pending = engine.step({live[place]: speech(seed) for place, seed in heard.items()})
    frames = pending.wait()
    return engine._denoiser.latents[: len(live)].clone(), [frames[session] for session in live]


def assert_same(mine, expected):
    assert relative(mine[0], expected[0]) <= 1e-4
    for a, b in zip(mine[1], expected[1], strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a.int() - b.int()).abs().max() <= 1


def test_sessions_that_come_and_go_draw_what_they_do_in_one_process(both):
    for iteration in range(12):
        for one in both:
            if iteration == 8:
                one.release(one.live[0])
            if iteration in (0, 3, 9):
                admit(one, iteration, prompted=iteration == 3)
        heard = {place: iteration + place for place in range(len(both[0].live)) if (iteration + place) % 3}
        assert_same(*(step(one, heard) for one in both))
    remembered = [one.state_dict(one.live[-1]) for one in both]
    for part in ("denoiser", "decoder"):
        mine, expected = (state[part] for state in remembered)
        assert mine.keys() == expected.keys()
        for name in expected.keys() - {"generator"}:
            assert relative(mine[name], expected[name]) <= 1e-4


def test_what_is_given_up_leaves_no_trace_on_any_rank(both):
    for one in both:
        for seed in (1, 2):
            admit(one, seed)
        between = one._denoiser._dit
        between.call = lambda one=one: one.interrupt(one.live[0])
    assert_same(*(step(one, {0: 1}) for one in both))
    for one in both:
        one._denoiser._dit.call = lambda: None
    for iteration in range(3):
        assert_same(*(step(one, {1: iteration}) for one in both))


def test_a_session_moves_between_engines_of_different_ranks(both):
    for here, there in (both, both[::-1]):
        admit(here, 1, prompted=True)
        for iteration in range(6):
            step(here, {0: iteration})
        admit(there, 2)
        there.load_state_dict(there.live[0], here.state_dict(here.live[0]))
        assert_same(step(there, {0: 3}), step(here, {0: 3}))
        for one in both:
            one.release(one.live[0])


def test_what_is_refused_leaves_all_ranks_in_step(both):
    for one in both:
        admit(one, 1)
        with pytest.raises(EngineError, match="at most 6 fit"):
            one.admit(picture(64, 64), torch.zeros(9, TINY.dit.text_dim))
    assert_same(*(step(one, {0: 1}) for one in both))


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("size", [2, 3])
def test_the_parts_of_the_ranks_are_the_whole(layout, size):
    whole = random_(VideoDiT(SIX_HEADS.dit), 1)
    parts = [VideoDiT(SIX_HEADS.dit, Ranks(rank, size)) for rank in range(size)]
    for rank, part in enumerate(parts):
        assert load_tensors(part, export(whole, layout)).complete
        drawn = random_(VideoDiT(SIX_HEADS.dit, Ranks(rank, size)), 1)
        assert all(torch.equal(a, b) for a, b in zip(part.parameters(), drawn.parameters(), strict=True))
    for name, expected in whole.named_parameters():
        shard, mine = shards(parts[0])[name], [part.get_parameter(name) for part in parts]
        if shard.once:
            assert torch.equal(sum(mine), expected)
        elif shard.axis is None:
            assert all(torch.equal(one, expected) for one in mine)
        else:
            rows = zip(*(one.chunk(shard.fused) for one in mine), strict=True)
            assert torch.equal(torch.cat([torch.cat(row, shard.axis) for row in rows]), expected)
    bulk = sum(one.numel() for one in whole.blocks.parameters() if one.dim() == 2)
    assert sum(one.numel() for part in parts for one in part.blocks.parameters() if one.dim() == 2) == bulk


@pytest.mark.parametrize(("width", "size", "widths"), [(14336, 3, [4864, 4736, 4736]), (8960, 2, [4480, 4480])])
def test_what_does_not_divide_is_cut_into_tiles(width, size, widths):
    assert Ranks(0, size).widths(width) == widths


def test_heads_that_do_not_divide_are_refused_before_anything_starts():
    with pytest.raises(EngineError, match="2 heads of the transformer do not divide by 3 GPUs"):
        EngineProcess(EngineOptions(preset="tiny", devices=("cpu",) * 5))
    with pytest.raises(EngineError, match="cannot be spread over 9 GPUs"):
        EngineProcess(EngineOptions(preset="tiny", devices=("cpu",) * 9))


def children(pid):
    """Processes that an engine process started to share its transformer."""
    found = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return [int(child) for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def assert_ended(pids):
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_an_engine_that_loses_a_process_says_which_and_ends(both):
    """The last of these tests: the engine is of no use afterwards. One loses it at work, one while idle."""
    shared, _ = both
    pids = children(os.getpid())
    which = r"part \d of the (transformer|decoder), on cpu, was killed by SIGKILL"
    if shared._decoder.team.ranks.size > 1:
        scheduler = Scheduler(shared.preset, lambda: shared)
        scheduler.start()
        scheduler.ready.result(20)
        os.kill(pids[-1], signal.SIGKILL)
        with pytest.raises(EngineError, match=which):
            scheduler.ended.result(20)
        scheduler.close()
    else:
        admit(shared, 1)
        shared._denoiser._dit.call = lambda: os.kill(pids[-1], signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(EngineError, match=which):
                step(shared, {0: 1})
    assert_ended(pids)


async def test_processes_draw_for_callers_and_end_with_an_engine_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where they meet
    process = EngineProcess(EngineOptions(preset="tiny", devices=("cpu",) * 3))
    try:
        await asyncio.to_thread(process.start)
        client = await EngineClient.connect(process.address)
        session = await client.admit(picture(64, 64).numpy(), 24_000)
        assert (await session.request(None)).shape == (4, 64, 64, 3)
        pids = children(process.pid)
        assert len(pids) == 1 and list(tmp_path.iterdir())
        os.kill(process.pid, signal.SIGKILL)
        assert_ended(pids)
        assert not list(tmp_path.iterdir())
        await client.close()
    finally:
        process.close()


def test_one_process_has_all_of_it_and_exchanges_nothing():
    x = torch.ones(2, 3)
    assert ALONE.all_reduce(x) is x and ALONE.all_gather(x, 0) is x and torch.equal(ALONE.part(x, 1), x)
