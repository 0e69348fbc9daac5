"""Renderers."""

from __future__ import annotations

import asyncio
import contextlib
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from animacy.core.video.contract import CharacterState, RenderedChunk, Renderer, Viseme
from animacy.testing.bench import Bench
from animacy.testing.rule import Rule, Suite, expect
from animacy.testing.sound import BYTES

IDLE_FRAMES = 12
SPEECH_SECONDS = 1.2
PIECES = (7, 1001, 3200)
"""Samples: voices push what they have, whatever fits a slot."""
AHEAD_FRAMES = 48
"""Frames that may be drawn before anybody asks; far fewer is better, for the next one after a cut is silent."""
WAIT_SECONDS = 1.0
MOST_CHUNKS = 200
CHUNK_SECONDS = 20.0


class Film:
    """Asks a renderer for chunks, one after the other, and holds each to its form."""

    def __init__(self, bench: Bench, renderer: Renderer) -> None:
        self.renderer, self.video = renderer, bench.material.video
        self.chunks: list[RenderedChunk] = []
        self._source = aiter(renderer)

    async def next(self) -> RenderedChunk:
        """The next chunk. Raises BrokenError when it is none."""
        try:
            chunk = await asyncio.wait_for(anext(self._source), CHUNK_SECONDS)
        except StopAsyncIteration:
            expect(False, "its chunks come to an end, though it was not closed")
            raise
        except TimeoutError:
            expect(False, f"no chunk came within {CHUNK_SECONDS:.0f} s of being asked for")
            raise
        self._hold(chunk)
        self.chunks.append(chunk)
        return chunk

    async def until_said(self, turn: int, samples: int) -> bytes:
        """Go on until so many samples of a turn were heard, or it is plain that they will not be."""
        said = b""
        for _ in range(MOST_CHUNKS):
            said += spoken(await self.next(), turn)
            if len(said) >= BYTES * samples:
                break
        return said

    async def close(self) -> None:
        """Stop asking."""
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    def _hold(self, chunk: RenderedChunk) -> None:
        video, frames = self.video, len(chunk.frames)
        expected = self.chunks[-1].index + len(self.chunks[-1].frames) if self.chunks else chunk.index
        expect(frames, "a chunk has no frames")
        expect(chunk.index == expected, f"frame {expected} should be next, but the chunk's index is {chunk.index}")
        samples = frames * video.samples_per_frame
        came = len(chunk.pcm) / BYTES
        expect(came == samples, f"{frames} frames come with {came:g} samples, not {video.samples_per_frame} each")
        for frame in chunk.frames:
            shape = (video.height, video.width, 3)
            expect(frame.shape == shape, f"a frame is {frame.shape}, asked for {shape} (height, width, RGB)")
            expect(frame.dtype == np.uint8, f"a frame is {frame.dtype}, not uint8")
        speech = samples if chunk.speech is None else chunk.speech
        expect(0 <= speech <= samples, f"{speech} of {samples} samples are said to be speech")
        expect(chunk.turn is not None or not any(chunk.pcm), "there is sound in a chunk that belongs to no turn")
        expect(
            chunk.speech is None or not any(chunk.pcm[BYTES * speech :]), "the padding after the speech is not silent"
        )


def spoken(chunk: RenderedChunk, turn: int) -> bytes:
    """What of a turn is heard in a chunk."""
    if chunk.turn != turn:
        return b""
    return chunk.pcm if chunk.speech is None else chunk.pcm[: BYTES * chunk.speech]


@contextlib.asynccontextmanager
async def _filming(bench: Bench) -> AsyncIterator[Film]:
    async with bench.loaded() as renderer:
        film = Film(bench, renderer)
        try:
            yield film
        finally:
            await film.close()


async def idles(bench: Bench) -> str | None:
    """When nobody speaks the picture goes on: a still one looks broken."""
    async with _filming(bench) as film:
        began = time.monotonic()
        while sum(len(chunk.frames) for chunk in film.chunks) < IDLE_FRAMES:
            chunk = await film.next()
            expect(not any(chunk.pcm), "there is sound though nothing was pushed")
        seconds = time.monotonic() - began
    frames = [frame for chunk in film.chunks for frame in chunk.frames]
    still = all(np.array_equal(frames[0], frame) for frame in frames)
    return f"{len(frames) / seconds:.0f} frames a second{', all the same' if still else ''}"


async def keeps_every_sample(bench: Bench) -> str | None:
    """Audio is the clock: what is pushed leaves once, in order, in the slots of its frames."""
    pcm = await _speech(bench)
    async with _filming(bench) as film:
        await film.next()
        for number, visemes in ((1, None), (2, (Viseme("aa", 0.0, 0.1), Viseme("PP", 0.1, 0.2)))):
            _push(film, pcm, number, visemes)
            film.renderer.end_turn(number)
            said = await film.until_said(number, len(pcm) // BYTES)
            lost = (len(pcm) - len(said)) / BYTES
            expect(len(said) >= len(pcm), f"{lost:.0f} of {len(pcm) // BYTES} samples of turn {number} are lost")
            # Without `speech`, what pads the last slot counts as heard.
            expect(said[: len(pcm)] == pcm, f"turn {number} is not heard as it was pushed: samples changed or moved")
            expect(not any(said[len(pcm) :]), f"more is heard of turn {number} than was pushed")
        after = [await film.next() for _ in range(3)]
        expect(not any(any(chunk.pcm) for chunk in after), "sound goes on after the end of the turn")
    return f"{len(pcm) // BYTES} samples in pieces of {', '.join(map(str, PIECES))}"


async def falls_silent(bench: Bench) -> str | None:
    """An interruption reaches the face in the very next chunk, and nothing of the turn comes back."""
    pcm = await _speech(bench)
    async with _filming(bench) as film:
        _push(film, pcm, 1)
        while not spoken(await film.next(), 1):
            expect(len(film.chunks) < MOST_CHUNKS, "what was pushed is never heard")
        film.renderer.interrupt(1)
        film.renderer.push_audio(pcm, film.video.sample_rate, 1, None)  # a voice that was not told yet
        film.renderer.end_turn(1)
        for number in range(4):
            chunk = await film.next()
            expect(not any(chunk.pcm), f"chunk {number + 1} after an interruption still holds sound")
        _push(film, pcm, 2)
        film.renderer.end_turn(2)
        said = await film.until_said(2, len(pcm) // BYTES)
        expect(said[: len(pcm)] == pcm, "the turn after an interruption is not heard as it was pushed")
    return None


async def drops_what_is_drawn(bench: Bench) -> str | None:
    """An interruption while a chunk is being drawn: its sound must not be heard any more."""
    pcm = await _speech(bench)
    async with _filming(bench) as film:
        _push(film, pcm, 1)
        while not spoken(await film.next(), 1):
            expect(len(film.chunks) < MOST_CHUNKS, "what was pushed is never heard")
        drawing = asyncio.create_task(film.next())
        await asyncio.sleep(0)
        film.renderer.interrupt(1)
        under_way, after = await drawing, await film.next()
        expect(not any(after.pcm), "the chunk after the one that was under way still holds sound of the cut turn")
    return "and the chunk under way too" if not any(under_way.pcm) else None


async def shows_states(bench: Bench) -> str | None:
    """Whatever the character does, and whatever emotion a recipe names."""
    async with _filming(bench) as film:
        for state in CharacterState:
            for emotion in (None, "joy", "no such emotion"):
                film.renderer.set_state(state, emotion)
                await film.next()
    return None


async def waits_to_be_asked(bench: Bench) -> str | None:
    """The consumer paces. What draws ahead fills the memory, and answers an interruption late."""
    pcm = await _speech(bench)
    async with _filming(bench) as film:
        await film.next()
        frame = film.chunks[0].frames[0].nbytes
        film.chunks.clear()
        tracemalloc.start()
        try:
            for number in range(1, 21):
                film.renderer.push_audio(pcm, film.video.sample_rate, number, None)
                film.renderer.end_turn(number)
            before = tracemalloc.get_traced_memory()[0]
            await asyncio.sleep(WAIT_SECONDS)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    expect(grown < AHEAD_FRAMES * frame, f"{grown / frame:.0f} frames were drawn within {WAIT_SECONDS:.0f} s unasked")
    return None


async def closes(bench: Bench) -> str | None:
    """Whatever went before: twice, without a start, in the middle of speech, while a chunk is waited for."""
    unused = bench.make()
    await unused.close()
    await unused.close()
    async with bench.loaded() as renderer:
        film = Film(bench, renderer)
        _push(film, await _speech(bench), 1)
        await film.next()
        waiting = asyncio.create_task(film.next())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await renderer.close()
        renderer.push_audio(bytes(BYTES * 100), film.video.sample_rate, 2, None)
        renderer.interrupt(2)
    return None


async def _speech(bench: Bench) -> bytes:
    """The beginning of the recording, which ends within a slot."""
    rate = bench.material.video.sample_rate
    return (await bench.speech(rate))[: BYTES * (round(SPEECH_SECONDS * rate) + 1)]


def _push(film: Film, pcm: bytes, turn: int, visemes: Sequence[Viseme] | None = None) -> None:
    start = number = 0
    while start < len(pcm):
        end = start + BYTES * PIECES[number % len(PIECES)]
        film.renderer.push_audio(pcm[start:end], film.video.sample_rate, turn, visemes)
        start, number = end, number + 1


async def _load(bench: Bench, product: Any) -> None:
    await product.start(bench.material.portrait, bench.material.video)


async def _close(bench: Bench, product: Any) -> None:
    await product.close()


async def _use(bench: Bench, product: Any) -> Sequence[BaseException]:
    try:
        await Film(bench, product).next()
    except Exception as error:  # a renderer's errors are raised to whoever asks for a chunk
        return [error]
    return []


SUITE = Suite(
    Renderer,
    "an animacy.core.video.contract.Renderer",
    _load,
    _close,
    (
        Rule("goes on when nobody speaks", idles),
        Rule("keeps every sample", keeps_every_sample),
        Rule("falls silent at an interruption", falls_silent),
        Rule("drops what is being drawn", drops_what_is_drawn),
        Rule("waits to be asked", waits_to_be_asked),
        Rule("shows every state", shows_states),
        Rule("closes at any time", closes),
    ),
    use=_use,
)
