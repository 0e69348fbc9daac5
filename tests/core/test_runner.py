"""The clock: whatever the renderer, frames leave with the audio of their slot and dead turns stay dead."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import numpy as np
import pytest

from animacy.core.video.contract import RenderedChunk, Renderer, VideoFormat
from animacy.core.video.runner import MAX_QUEUED_SECONDS, VideoRunner

VIDEO = VideoFormat(160, 120, 24, 24_000)


class Card:
    """A renderer of its own kind: a grey card that is white while it speaks."""

    def __init__(self, slowness: float = 0.0, fail_at: int | None = None) -> None:
        self.queue: deque[tuple[int, bytes]] = deque()
        self.slowness, self.fail_at = slowness, fail_at
        self.closed = 0

    async def start(self, portrait, output):
        self.output = output

    def push_audio(self, pcm, sample_rate, turn, visemes):
        size = 2 * self.output.samples_per_frame
        self.queue.extend((turn, pcm[i : i + size].ljust(size, b"\0")) for i in range(0, len(pcm), size))

    def end_turn(self, turn):
        pass

    def interrupt(self, turn):
        self.queue.clear()

    def set_state(self, state, emotion=None):
        pass

    async def __aiter__(self):
        index = 0
        while True:
            if self.slowness:
                await asyncio.sleep(self.slowness)
            if index == self.fail_at:
                raise RuntimeError("the card tore")
            turn, pcm = self.queue.popleft() if self.queue else (None, bytes(2 * self.output.samples_per_frame))
            frame = np.full((self.output.height, self.output.width, 3), 128 if turn is None else 255, np.uint8)
            yield RenderedChunk(index, [frame], pcm, turn)
            index += 1

    async def close(self):
        self.closed += 1


@contextlib.asynccontextmanager
async def running(card):
    assert isinstance(card, Renderer)
    chunks = []
    loop = asyncio.get_running_loop()

    async def emit(chunk):
        chunks.append((loop.time(), chunk))
        return True

    runner = VideoRunner(card, VIDEO, emit, clock=loop.time)
    await card.start(None, VIDEO)
    runner.start()
    try:
        yield runner, chunks
    finally:
        await runner.close()
        await runner.close()


def tone(seconds):
    return (np.sin(np.arange(int(seconds * 24_000)) * 0.1) * 9000).astype(np.int16).tobytes()


async def test_frames_are_paced_and_carry_their_audio():
    async with running(Card()) as (runner, chunks):
        turn = runner.begin_turn()
        pcm = tone(0.5)
        assert await runner.push_audio(pcm, turn, None)
        runner.end_turn(turn)
        await asyncio.sleep(1.0)
    assert [chunk.index for _, chunk in chunks] == list(range(len(chunks)))
    assert 20 <= len(chunks) <= 27  # one second, whatever the load on this machine
    assert all(len(chunk.pcm) == 2 * VIDEO.samples_per_frame for _, chunk in chunks)
    spoken = b"".join(chunk.pcm for _, chunk in chunks if chunk.turn == turn)
    assert spoken[: len(pcm)] == pcm
    assert all((chunk.frames[0].max() == 255) == (chunk.turn is not None) for _, chunk in chunks)


async def test_idle_frames_never_stop():
    async with running(Card()) as (_, chunks):
        await asyncio.sleep(0.6)
    assert len(chunks) >= 10
    assert all(chunk.turn is None for _, chunk in chunks)


async def test_an_interrupted_turn_is_dead():
    async with running(Card()) as (runner, chunks):
        turn = runner.begin_turn()
        await runner.push_audio(tone(5), turn, None)
        await asyncio.sleep(0.3)
        runner.interrupt()
        said = len(chunks)
        assert not await runner.push_audio(tone(1), turn, None)
        await asyncio.sleep(0.3)
        assert all(chunk.turn is None for _, chunk in chunks[said + 1 :])
        assert runner.stats.refused == 1
        again = runner.begin_turn()
        assert again > turn
        assert await runner.push_audio(tone(0.2), again, None)


async def test_the_queue_is_bounded_and_an_interruption_frees_who_waits():
    async with running(Card()) as (runner, _):
        turn = runner.begin_turn()
        await runner.push_audio(tone(MAX_QUEUED_SECONDS + 1), turn, None)
        waiting = asyncio.create_task(runner.push_audio(tone(1), turn, None))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        runner.interrupt()
        assert await asyncio.wait_for(waiting, 1) is False


async def test_a_slow_renderer_is_accounted_for():
    async with running(Card(slowness=0.1)) as (runner, _):
        await asyncio.sleep(1.5)
    assert runner.stats.late > 0
    assert runner.stats.stalls > 0


async def test_a_failing_renderer_is_heard_of_and_closed():
    card = Card(fail_at=3)
    async with running(card) as (runner, _):
        with pytest.raises(RuntimeError, match="tore"):
            await asyncio.wait_for(runner.wait(), 2)
        with contextlib.suppress(RuntimeError):
            await runner.close()
    assert card.closed >= 1
