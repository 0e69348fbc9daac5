"""The engine's own figures: how long an iteration takes, how steadily, how soon the first frame, in how much memory.

Iterations follow each other as fast as they can: the next one is denoised while the one before is decoded, and the host
waits for each one's frames. Weights and speech are random, which costs the same as real ones.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from animacy.engine.bench.measure import Spread, free_memory, synchronize
from animacy.engine.bench.timeline import Bar
from animacy.engine.bench.workload import Workload
from animacy.engine.followers import Followers, Shared
from animacy.engine.loading import Devices, load_models
from animacy.engine.sessions import Pending, Sessions

_RESPONSES = 10
"""How often the first frames after speech are timed."""
_SHOWN = 8
"""Iterations in the timeline."""
_SETTLED = 20
"""Iterations before memory is expected to stand still."""
_TELL_S = 10.0
"""Seconds between lines of progress."""


@dataclass(frozen=True, slots=True)
class FirstFrames:
    """Seconds and milliseconds until something can be seen.

    `cold_s` is from networks in memory to the first spoken frames: buffers, warm-up, compilation, graphs and all; of
    it `warm_up_s` is `Sessions.warm_up`. Warm: `admit` is from a picture to its first frame, `response` from speech to
    the frames that belong to it when nothing else is under way.
    """

    cold_s: float
    warm_up_s: float
    admit: Spread
    response: Spread


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: the peak on each device of this process, and how much more it held at the end than when it had settled."""

    peak: tuple[int, ...]
    growth: tuple[int, ...]
    host_growth: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured over `iterations` in `seconds`; times are in milliseconds.

    `interval` is from one iteration's frames on the host to the next one's.
    """

    iterations: int
    seconds: float
    frames_per_iteration: int
    denoise: Spread
    decode: Spread
    interval: Spread
    first: FirstFrames
    memory: Memory

    @property
    def frame_ms(self) -> float:
        """Effective time a frame of each session, at the median."""
        return self.interval.p50 / self.frames_per_iteration

    @property
    def fps(self) -> float:
        """Frames a second that each session got, over the whole run."""
        return self.iterations * self.frames_per_iteration / self.seconds


def measure(work: Workload, seconds: float, say: Callable[[str], None]) -> tuple[Figures, list[Bar]]:
    """Run all sessions for `seconds`; returns the figures, and bars of the last iterations for a timeline."""
    say("engine: random weights")
    devices = work.spread
    followers = Followers.start(Shared(work.preset, None, devices, *work.size, work.sessions))
    try:
        return _measure(work, devices, followers, seconds, say)
    finally:
        followers.close()


def _measure(
    work: Workload, devices: Devices, followers: Followers, seconds: float, say: Callable[[str], None]
) -> tuple[Figures, list[Bar]]:
    dit, vae = load_models(work.preset, None, devices, followers.dit.ranks, followers.vae.ranks)
    # An autoencoder is made in float32 first, which is not part of the peak.
    free_memory()
    if work.on_gpu:
        for device in work.own.values():
            torch.cuda.reset_peak_memory_stats(device)
    synchronize(*work.own.values())
    started = time.perf_counter()
    with closing(Sessions(work.preset, dit, vae, *work.size, work.sessions, followers)) as sessions:
        warming = time.perf_counter()
        sessions.warm_up(progress=lambda text, done: say(f"engine: {done:.0%} {text}"))
        warm_up_s = time.perf_counter() - warming
        ids: list[int] = []
        admit = _admission(sessions, work, ids)
        for _ in range(work.sessions):
            admit()
        speech = _Speech(work, ids)
        sessions.step(speech.next()).wait()
        cold_s = time.perf_counter() - started
        say(f"engine: first frames after {cold_s:.1f} s, of which {warm_up_s:.1f} s are warm-up")
        first = FirstFrames(cold_s, warm_up_s, *_warm_first_frames(sessions, ids, admit, speech))
        return _steady(sessions, work, speech, seconds, first, say)


def _steady(
    sessions: Sessions,
    work: Workload,
    speech: _Speech,
    seconds: float,
    first: FirstFrames,
    say: Callable[[str], None],
) -> tuple[Figures, list[Bar]]:
    """The loop itself: step n is under way while the frames of n - 1 are waited for."""
    denoise, decode, stamps = [], [], [time.perf_counter()]
    bars: deque[Bar] = deque(maxlen=2 * _SHOWN)
    settled = _Held.now(work)
    told = stamps[0]
    before = sessions.step(speech.next())
    while stamps[-1] - stamps[0] < seconds or len(stamps) < _SETTLED + 2:
        pending = sessions.step(speech.next())
        before.wait()
        stamps.append(time.perf_counter())
        denoise.append(before.denoise.duration)
        decode.append(before.decode.duration)
        bars.extend(_bars(before, work, len(stamps) - 2))
        before = pending
        if len(stamps) == _SETTLED:
            settled = _Held.now(work)
        if stamps[-1] - told > _TELL_S:
            told = stamps[-1]
            say(f"engine: {told - stamps[0]:.0f} of {seconds:.0f} s, {len(stamps) - 1} iterations")
    before.wait()
    intervals = [1000 * (later - earlier) for earlier, later in pairwise(stamps)]
    return Figures(
        iterations=len(intervals),
        seconds=stamps[-1] - stamps[0],
        frames_per_iteration=work.frames,
        denoise=Spread.of(denoise),
        decode=Spread.of(decode),
        # The pipeline is filling in the first one.
        interval=Spread.of(intervals[1:]),
        first=first,
        memory=_Held.now(work).since(settled, work),
    ), list(bars)


def _admission(sessions: Sessions, work: Workload, ids: list[int]) -> Callable[[], None]:
    """What admits one more session with a random picture."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (*work.size, 3), generator=generator, dtype=torch.uint8)

    def admit() -> None:
        session, _ = sessions.admit(picture, seed=len(ids))
        ids.append(session)

    return admit


def _warm_first_frames(
    sessions: Sessions, ids: list[int], admit: Callable[[], None], speech: _Speech
) -> tuple[Spread, Spread]:
    """Milliseconds of an admission, and from speech to its frames, when all is warm."""
    admissions = []
    for _ in range(_RESPONSES):
        sessions.release(ids.pop())
        admissions.append(_timed(admit))
    responses = [_timed(lambda: sessions.step(speech.next()).wait()) for _ in range(_RESPONSES)]
    return Spread.of(admissions), Spread.of(responses)


def _timed(call: Callable[[], object]) -> float:
    """Milliseconds until `call` has returned."""
    begin = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - begin)


def _bars(done: Pending, work: Workload, number: int) -> list[Bar]:
    """What an iteration adds to the timeline."""
    spans = ((f"{work.device} denoise", done.denoise), (f"{work.vae_device} decode", done.decode))
    return [(row, span.start, span.end, str(number)) for row, span in spans]


class _Speech:
    """Random speech features for every session, the same ones in turn; None where the preset does not listen."""

    def __init__(self, work: Workload, ids: Sequence[int]) -> None:
        self._ids = ids
        self._turn = 0
        audio = work.preset.dit.audio
        shape = (work.preset.stream.chunk, audio.window, audio.feature_dim) if audio is not None else None
        self._windows = [None if shape is None else torch.randn(shape) for _ in range(_SHOWN)]

    def next(self) -> Mapping[int, Tensor | None]:
        """Speech of one iteration."""
        self._turn += 1
        return {session: self._windows[(self._turn + session) % len(self._windows)] for session in self._ids}


@dataclass(frozen=True, slots=True)
class _Held:
    """Bytes held at a moment: by PyTorch on each device, and by this process on the host."""

    devices: tuple[int, ...]
    host: int

    @classmethod
    def now(cls, work: Workload) -> _Held:
        devices = tuple(map(torch.cuda.memory_reserved, work.own.values())) if work.on_gpu else ()
        return cls(devices, _resident())

    def since(self, earlier: _Held, work: Workload) -> Memory:
        """What has come since `earlier`, and the peak."""
        peak = tuple(map(torch.cuda.max_memory_reserved, work.own.values())) if work.on_gpu else ()
        growth = tuple(now - then for now, then in zip(self.devices, earlier.devices, strict=True))
        return Memory(peak, growth, self.host - earlier.host)


def _resident() -> int:
    """Bytes of this process in the host's memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
