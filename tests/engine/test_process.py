"""An engine in a process of its own: what its callers see, and what is left when either side ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from animacy.engine import protocol
from animacy.engine.audio import SpeechWindows
from animacy.engine.client import SLOTS, EngineClient
from animacy.engine.errors import EngineError, EngineGoneError
from animacy.engine.loading import Devices, load_models
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.process import EngineProcess
from animacy.engine.serve import EngineOptions
from animacy.engine.stream import Stream
from animacy.engine.weights import save
from tests.engine.helpers import TINY, picture

RATE = 24_000
SAMPLES = 4 * RATE // 24
IMAGE = picture(64, 64).numpy()
NOISE = (np.random.default_rng(3).standard_normal(8 * SAMPLES) * 4000).astype(np.int16)
OPTIONS = EngineOptions(preset="tiny", devices=("cpu",), capacity=2)
# One character may let the other wait for a minute, so that a busy machine changes nothing.
IN_STEP = replace(OPTIONS, patience=360.0)


@contextlib.contextmanager
def process(options=OPTIONS):
    made = EngineProcess(options)
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture(scope="module")
def engine():
    with process() as made:
        yield made


@contextlib.asynccontextmanager
async def calling(engine):
    client = await EngineClient.connect(engine.address)
    try:
        yield client
    finally:
        await client.close()


async def film(session, pcm, chunks):
    """Frames of some chunks; speech from `pcm`, then silence."""
    frames = []
    for start in range(0, chunks * SAMPLES, SAMPLES):
        part, ahead = pcm[start : start + SAMPLES], pcm[start + SAMPLES :]
        request = session.request(part, ahead) if len(part) else session.request(None)
        frames.append((await request).copy())
    return np.concatenate(frames)


def expected(pcm, chunks, seed=0, weights=None):
    """The same without any process."""
    stream = Stream(TINY, *load_models(TINY, weights, Devices.parse(["cpu"])), seed=seed)
    stream.start(torch.from_numpy(IMAGE))
    windows = SpeechWindows(TINY.dit.audio, RATE, 24, 4)
    windows.push(np.pad(pcm, (0, chunks * SAMPLES)))
    return torch.cat([stream.step(torch.from_numpy(windows.take())[None]) for _ in range(chunks)]).numpy()


def same(a, b):
    """Up to a rounding to the next of 256 levels."""
    return np.abs(a.astype(int) - b.astype(int)).max() <= 1


def shared_memory():
    return set(Path("/dev/shm").iterdir())


async def test_frames_are_those_of_a_stream(engine):
    async with calling(engine) as client:
        assert (client.engine.preset, client.engine.frames, client.engine.random_weights) == ("tiny", 4, True)
        session = await client.admit(IMAGE, RATE, seed=5)
        assert session.samples == SAMPLES
        frames = await film(session, NOISE[: 3 * SAMPLES], 5)
    assert same(frames, expected(NOISE[: 3 * SAMPLES], 5, seed=5))
    assert not same(frames, expected(NOISE[:0], 5, seed=5))


async def test_two_together_equal_two_alone():
    with process(IN_STEP) as engine:
        await two_together(engine)


async def two_together(engine):
    async with calling(engine) as one, calling(engine) as two:
        sessions = await one.admit(IMAGE, RATE, seed=1), await two.admit(IMAGE, RATE, seed=2)
        films = await asyncio.gather(
            film(sessions[0], NOISE[: 2 * SAMPLES], 4), film(sessions[1], NOISE[3 * SAMPLES : 6 * SAMPLES], 4)
        )
        health = await one.health()
    assert health.sessions == 2 and health.iteration_ms_p99 >= health.iteration_ms_p50 > 0
    assert health.memory["cpu"]["total"] > health.memory["cpu"]["allocated"] > 0
    assert same(films[0], expected(NOISE[: 2 * SAMPLES], 4, seed=1))
    assert same(films[1], expected(NOISE[3 * SAMPLES : 6 * SAMPLES], 4, seed=2))


async def test_who_is_too_many_is_refused_until_somebody_goes(engine):
    async with calling(engine) as client:
        first = await client.admit(IMAGE, RATE)
        await client.admit(IMAGE, RATE)
        with pytest.raises(EngineError, match="all 2 sessions"):
            await client.admit(IMAGE, RATE)
        first.release()
        with pytest.raises(EngineError, match="released"):
            first.request(None)
        third = await client.admit(IMAGE, RATE)
        await third.request(None)


@pytest.mark.parametrize("goodbye", [True, False], ids=["close", "cut off"])
async def test_who_hangs_up_leaves_nothing_on_the_engine(engine, goodbye):
    async with calling(engine) as watching:
        client = await EngineClient.connect(engine.address)
        session = await client.admit(IMAGE, RATE)
        waiting = session.request(None)
        if goodbye:
            await client.close()
            with pytest.raises(EngineError):
                await waiting
        else:
            client._writer.transport.abort()

        async with asyncio.timeout(20):
            while (await watching.health()).sessions:
                pass  # asked again and again
        await client.close()


async def test_an_interruption_silences_what_is_not_drawn_yet(engine):
    async with calling(engine) as client:
        session = await client.admit(IMAGE, RATE)
        await film(session, NOISE, 2)
        under_way = session.request(NOISE[:SAMPLES]), session.request(NOISE[SAMPLES : 2 * SAMPLES])
        session.interrupt()
        for frames in under_way:
            assert (await frames).shape == (4, 64, 64, 3)
        assert len(await film(session, NOISE[:0], 2)) == 8


async def test_so_many_chunks_may_be_under_way(engine):
    async with calling(engine) as client:
        session = await client.admit(IMAGE, RATE)
        for _ in range(SLOTS - 1):
            session.request(None)
        with pytest.raises(RuntimeError, match="on their way"):
            session.request(None)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        struct.pack("!II", 13, 0) + b'{"type":"no"}',
        protocol.encode(protocol.Step(session=99, slot=0)),
        protocol.encode(protocol.Ready(**dict.fromkeys(protocol.Ready.__slots__, 1))),
        protocol.encode(protocol.Admit(id=1, sample_rate="high", seed=0, slots=1)),
    ],
    ids=["too long", "unknown", "not its session", "not for callers", "wrong type"],
)
async def test_nonsense_ends_the_connection_and_nothing_else(engine, said):
    async with calling(engine) as client:
        session = await client.admit(IMAGE, RATE)
        reader, writer = await engine.address.connect()
        writer.write(said)
        messages = []
        while (received := await protocol.receive(reader)) is not None:
            messages.append(received[0])
        assert isinstance(messages[-1], protocol.Failed)
        writer.close()
        await session.request(None)


@pytest.mark.parametrize(
    ("request_", "payload", "message"),
    [
        (protocol.Admit(id=1, sample_rate=RATE, seed=0, slots=2), b"", "send 64x64"),
        (protocol.Admit(id=1, sample_rate=11_025, seed=0, slots=2), IMAGE.tobytes(), "send it at 24000 Hz"),
        (protocol.Admit(id=1, sample_rate=RATE, seed=0, slots=99), IMAGE.tobytes(), "ask for 1 to"),
    ],
)
async def test_what_cannot_be_admitted_is_refused(engine, request_, payload, message):
    async with calling(engine) as client:
        with pytest.raises(EngineError, match=message):
            await client._ask(1, request_, payload)


async def test_weights_are_loaded_with_progress(tmp_path):
    parts = {"transformer": VideoDiT(TINY.dit), "vae": VideoVAE(TINY.vae)}
    for name, model in parts.items():
        (tmp_path / name).mkdir()
        save(model, tmp_path / name / "model.safetensors")
    told = []
    with process(EngineOptions(preset="tiny", devices=("cpu",), weights=str(tmp_path))) as made:
        client = await EngineClient.connect(made.address, lambda text, done: told.append((text, done)))
        assert not client.engine.random_weights
        session = await client.admit(IMAGE, RATE)
        frames = await film(session, NOISE[:SAMPLES], 2)
        await client.close()
    assert same(frames, expected(NOISE[:SAMPLES], 2, weights=tmp_path))
    assert [done for _, done in told] == sorted(done for _, done in told) and told


async def test_a_killed_engine_is_told_and_leaves_no_memory():
    before = shared_memory()
    with process() as made:
        async with calling(made) as client:
            session = await client.admit(IMAGE, RATE)
            await session.request(None)
            waiting = session.request(None)
            os.kill(made.pid, signal.SIGKILL)
            with pytest.raises(EngineGoneError):
                for _ in range(9):
                    await waiting
                    waiting = session.request(None)
            with pytest.raises(EngineGoneError):
                await client.health()
        assert "SIGKILL" in str(made.ended())
    assert shared_memory() <= before


def test_an_engine_ends_with_who_started_it():
    script = (
        "import time; from animacy.engine.process import EngineProcess; from animacy.engine.serve import EngineOptions;"
        "p = EngineProcess(EngineOptions(preset='tiny')).start(); print(p.pid, p.address, flush=True); time.sleep(99)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid, socket = owner.stdout.readline().split()
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists() and not Path(socket).parent.exists()


def test_an_engine_that_does_not_fit_says_what_would(monkeypatch):
    with pytest.raises(EngineError, match="choose one of"):
        EngineProcess(EngineOptions(preset="huge"))
    with pytest.raises(EngineError, match="multiples of 32"):
        EngineProcess(EngineOptions(preset="tiny", size=(100, 64)))
    with pytest.raises(EngineError, match="1 or more"):
        EngineProcess(EngineOptions(preset="tiny", capacity=0))
