"""Plays a score to a renderer in real time, through the runner that drives every renderer, and notes what comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from animacy.core.video.contract import CharacterState, Portrait, RenderedChunk, VideoFormat
from animacy.core.video.runner import RunnerStats, VideoRunner
from benchmarks.replay.score import Event, Score

SHOWN = (36, 64)
"""Rows and columns that motion is looked at with; enough for a face, and quick."""


@dataclass(slots=True)
class Seen:
    """One chunk as it left: when, its first frame's number, its turn, its sound, and how much each frame moved."""

    at: float
    index: int
    turn: int | None
    pcm: bytes
    speech: int
    motion: list[float]


@dataclass(slots=True)
class Performance:
    """What became of a score. `pushed` and `cuts` by the turn numbers that the runner gave."""

    video: VideoFormat
    stats: RunnerStats
    warm_up: float
    chunks: list[Seen] = field(default_factory=list)
    pushed: dict[int, bytearray] = field(default_factory=dict)
    cuts: list[tuple[float, int]] = field(default_factory=list)


async def play(
    renderer: Any,
    portrait: Portrait,
    video: VideoFormat,
    score: Score,
    film: Callable[[RenderedChunk], None],
    seconds: float | None = None,
) -> Performance:
    """Play it. `film` takes every chunk, in a thread; `seconds` cut the score short, or let silence follow it."""
    began = time.monotonic()
    chunks: asyncio.Queue[RenderedChunk | None] = asyncio.Queue(maxsize=64)
    performance = Performance(video, RunnerStats(), 0.0)
    before: list[Any] = [None]

    async def emit(chunk: RenderedChunk) -> bool:
        moved = [_motion(frame, before) for frame in chunk.frames]
        speech = len(chunk.pcm) // 2 if chunk.speech is None else chunk.speech
        performance.chunks.append(Seen(time.monotonic(), chunk.index, chunk.turn, chunk.pcm, speech, moved))
        await chunks.put(chunk)
        return True

    async def write() -> None:
        while (chunk := await chunks.get()) is not None:
            await asyncio.to_thread(film, chunk)

    runner = VideoRunner(renderer, video, emit)
    writing = asyncio.create_task(write())
    try:
        await runner.prepare(portrait)
        runner.start()
        while not performance.chunks:
            await asyncio.wait([asyncio.ensure_future(runner.wait())], timeout=0.01)
        performance.warm_up = time.monotonic() - began
        playing = asyncio.ensure_future(_tell(runner, score, performance, seconds))
        failing = asyncio.ensure_future(runner.wait())
        done, _ = await asyncio.wait({playing, failing}, return_when=asyncio.FIRST_COMPLETED)
        playing.cancel()
        failing.cancel()
        for task in done:
            task.result()
    finally:
        await runner.close()
        await chunks.put(None)
        await writing
    performance.stats = runner.stats
    return performance


async def _tell(runner: VideoRunner, score: Score, performance: Performance, seconds: float | None) -> None:
    began, place, turns = time.monotonic(), 0, dict[int, int]()
    limit = score.seconds if seconds is None else seconds
    for event in score.events:
        if event.at > limit:
            break
        await asyncio.sleep(max(0.0, began + event.at - time.monotonic()))
        pcm = score.voice[place : place + event.samples].tobytes()
        place += event.samples
        await _do(runner, event, pcm, turns, performance)
    await asyncio.sleep(max(0.0, began + limit - time.monotonic()))


async def _do(runner: VideoRunner, event: Event, pcm: bytes, turns: dict[int, int], performance: Performance) -> None:
    match event.kind:
        case "state":
            runner.set_state(CharacterState(event.state))
        case "interrupt":
            if runner.interrupt() is not None:
                performance.cuts.append((time.monotonic(), len(performance.chunks)))
        case "speech":
            if event.turn not in turns:
                turns[event.turn] = runner.begin_turn()
                performance.pushed[turns[event.turn]] = bytearray()
            if await runner.push_audio(pcm, turns[event.turn], None):
                performance.pushed[turns[event.turn]] += pcm
        case "end":
            if event.turn in turns:
                runner.end_turn(turns[event.turn])


def _motion(frame: Any, before: list[Any]) -> float:
    """Mean change of a frame's grey values, 0 to 255, from the one before."""
    rows = np.linspace(0, frame.shape[0] - 1, SHOWN[0]).astype(int)
    columns = np.linspace(0, frame.shape[1] - 1, SHOWN[1]).astype(int)
    small = frame[rows][:, columns].mean(-1)
    moved = float(np.abs(small - before[0]).mean()) if before[0] is not None else 0.0
    before[0] = small
    return moved
