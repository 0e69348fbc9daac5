"""The clock: whatever the renderer, frames leave with the audio of their slot and dead turns stay dead."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from animacy.core.video.contract import RenderedChunk, Renderer, VideoFormat, Viseme
from animacy.core.video.record import LOOK_BACK_SECONDS, WINDOW_SECONDS
from animacy.core.video.runner import MAX_QUEUED_SECONDS, VideoRunner

VIDEO = VideoFormat(160, 120, 24, 24_000)


class Card:
    """A renderer of its own kind: a grey card that is white while it speaks."""

    def __init__(self, slowness: float = 0.0, fail_at: int | None = None) -> None:
        self.queue: deque[tuple[int, bytes]] = deque()
        self.slowness, self.fail_at = slowness, fail_at
        self.closed = 0
        self.visemes = {}

    async def start(self, portrait, output):
        self.output = output

    def push_audio(self, pcm, sample_rate, turn, visemes):
        size = 2 * self.output.samples_per_frame
        self.visemes.setdefault(turn, []).extend(visemes or ())
        self.queue.extend((turn, pcm[i : i + size]) for i in range(0, len(pcm), size))

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
            turn, pcm = self.queue.popleft() if self.queue else (None, b"")
            frame = np.full((self.output.height, self.output.width, 3), 128 if turn is None else 255, np.uint8)
            slot = pcm.ljust(2 * self.output.samples_per_frame, b"\0")
            yield RenderedChunk(index, [frame], slot, turn, speech=len(pcm) // 2)
            index += 1

    async def close(self):
        self.closed += 1


@contextlib.asynccontextmanager
async def running(card, playout_delay=0.0):
    assert isinstance(card, Renderer)
    chunks = []
    loop = asyncio.get_running_loop()

    async def emit(chunk):
        chunks.append((loop.time(), chunk))
        return True

    runner = VideoRunner(card, VIDEO, emit, clock=loop.time, playout_delay=lambda: playout_delay)
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


class FastLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next thing to do. For what waits for time alone."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        select = self._selector.select

        def jump(timeout=None):
            self.now += timeout or 0.0
            return select(0)

        self._selector.select = jump

    def time(self):
        return self.now


def run_fast(main):
    with contextlib.closing(FastLoop()) as loop:
        return loop.run_until_complete(main)


def words(count, seconds=0.35, gap=0.06):
    """Speech-like: tones with gaps. Whole slots, so that a Card loses nothing."""
    slot = VIDEO.samples_per_frame
    parts = [(tone(seconds), bytes(2 * int(gap * 24_000)))] * count
    pcm = b"".join(piece for pair in parts for piece in pair)
    return pcm[: len(pcm) // (2 * slot) * 2 * slot]


def sound(chunks, turn=None):
    return b"".join(
        chunk.pcm[: 2 * chunk.speech] for _, chunk in chunks if chunk.turn is not None and turn in (None, chunk.turn)
    )


SLOT = VIDEO.samples_per_frame
PIECE = 6 * SLOT * 2


@settings(max_examples=60, deadline=None)
@given(
    cut=st.floats(0.0, 4.5),
    pause=st.floats(0.0, 3.0),
    delay=st.sampled_from([0.0, 0.12, 0.3]),
    pieces=st.integers(1, 20),
    spacing=st.sampled_from([0.0, 0.1, 0.4]),
)
def test_what_was_not_heard_goes_on_whenever_it_was_held(cut, pause, delay, pieces, spacing):
    said = words(12)[: pieces * PIECE]

    async def converse():
        async with running(Card(), delay) as (runner, chunks):
            turn = runner.begin_turn()

            async def speak():
                for start in range(0, len(said), PIECE):
                    assert await runner.push_audio(said[start : start + PIECE], turn, None)
                    await asyncio.sleep(spacing)
                runner.end_turn(turn)

            loop = asyncio.get_running_loop()
            speaking = asyncio.create_task(speak())
            await asyncio.sleep(cut)
            held_at = loop.time()
            flush = runner.hold()
            before = len(chunks)
            heard = sum(len(chunk.pcm) for at, chunk in chunks if chunk.turn == turn and at + delay <= held_at)
            await asyncio.sleep(pause)
            assert all(chunk.turn is None and not any(chunk.pcm) for _, chunk in chunks[before:])
            if flush is not None:
                assert flush.turn == turn and flush.at_index == before
            runner.resume()
            await speaking
            await asyncio.sleep(8)
            assert not runner.speaking
            again = sound(chunks[before:])
            assert all(chunk.turn > turn for _, chunk in chunks[before:] if chunk.turn is not None)
            if flush is None:
                assert not again or not heard
                return
            assert said.endswith(again)
            start = len(said) - len(again)
            assert start <= heard or not any(said[heard:])
            assert heard - start <= 2 * 24_000 * (LOOK_BACK_SECONDS + WINDOW_SECONDS)

    run_fast(converse())


async def test_a_turn_goes_on_from_a_gap_between_words():
    said = words(5)

    async def converse():
        async with running(Card()) as (runner, chunks):
            turn = runner.begin_turn()
            shapes = [Viseme("aa", 0.41 * k, 0.41 * k + 0.3) for k in range(5)]
            await runner.push_audio(said, turn, shapes)
            runner.end_turn(turn)
            await asyncio.sleep(0.7)  # in the middle of the second word
            runner.hold()
            runner.resume()
            await asyncio.sleep(3)
            return sound(chunks, turn + 1), runner._renderer.visemes[turn + 1]

    card_said, shapes = await asyncio.to_thread(run_fast, converse())
    offset = (len(said) - len(card_said)) / 48_000
    assert 0.35 <= offset <= 0.42
    assert not np.frombuffer(card_said, np.int16)[:200].any()
    assert [shape.start for shape in shapes][:2] == pytest.approx([0.41 - offset, 0.82 - offset])


async def test_an_interruption_after_a_hold_is_the_same_cut_and_final():
    async def converse():
        async with running(Card()) as (runner, chunks):
            turn = runner.begin_turn()
            await runner.push_audio(words(9), turn, None)
            await asyncio.sleep(0.5)
            held = runner.hold()
            assert runner.hold() == held
            await asyncio.sleep(0.5)
            assert runner.interrupt() == held
            runner.resume()
            assert not await runner.push_audio(words(1), turn, None)
            before = len(chunks)
            await asyncio.sleep(1)
            assert not sound(chunks[before:])
            assert runner.interrupt() is None and runner.hold() is None

    await asyncio.to_thread(run_fast, converse())


async def test_turns_begun_while_held_follow_in_order():
    async def converse():
        async with running(Card()) as (runner, chunks):
            first = runner.begin_turn()
            await runner.push_audio(words(3), first, None)
            runner.end_turn(first)
            await asyncio.sleep(0.3)
            runner.hold()
            second = runner.begin_turn()
            await runner.push_audio(b"\x10\x00" * 4 * SLOT, second, None)
            runner.end_turn(second)
            runner.resume()
            assert math.isfinite(runner.seconds_left())
            await asyncio.sleep(5)
            assert not runner.speaking
            return sound(chunks)

    said = await asyncio.to_thread(run_fast, converse())
    assert said.endswith(b"\x10\x00" * 4 * SLOT)


async def test_who_waits_for_room_keeps_its_place_over_a_hold():
    async def converse():
        async with running(Card()) as (runner, chunks):
            turn = runner.begin_turn()
            await runner.push_audio(tone(MAX_QUEUED_SECONDS + 1), turn, None)
            waiting = asyncio.create_task(runner.push_audio(b"\x10\x00" * 4 * SLOT, turn, None))
            await asyncio.sleep(0.01)
            runner.hold()
            await asyncio.sleep(5)
            assert not waiting.done()  # what is held takes room
            runner.resume()
            await asyncio.sleep(2)
            assert waiting.done() and waiting.result()
            await asyncio.sleep(MAX_QUEUED_SECONDS + 5)
            return sound(chunks)

    said = await asyncio.to_thread(run_fast, converse())
    assert said.endswith(b"\x10\x00" * 4 * SLOT)
