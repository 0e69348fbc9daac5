"""Measuring: how long the device works, how the times are spread, and what they are called."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Spread:
    """How some times in milliseconds are spread; `count` of them."""

    count: int
    mean: float
    std: float
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Spread:
        """The spread of at least one time."""
        values = torch.tensor(milliseconds, dtype=torch.float64)
        p50, p95, p99 = values.quantile(torch.tensor((0.50, 0.95, 0.99), dtype=torch.float64)).tolist()
        std = values.std(correction=0).item()
        return cls(len(values), values.mean().item(), std, p50, p95, p99, values.max().item())


class Stopwatch:
    """Marks moments in the work of a device: with events on a GPU, with the clock of the host on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[Any] = []

    def mark(self) -> None:
        """Note the moment when the work given so far is done."""
        if self._device.type != "cuda":
            self._marks.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        self._marks.append(event)

    def laps(self) -> list[float]:
        """Milliseconds from each mark to the next; waits for the device, and begins anew."""
        synchronize(self._device)
        marks, self._marks = self._marks, []
        pairs = pairwise(marks)
        if self._device.type == "cuda":
            return [before.elapsed_time(after) for before, after in pairs]
        return [(after - before) * 1000 for before, after in pairs]


def time_calls(
    call: Callable[[], object], device: torch.device, repeats: int, budget_s: float, warmup: int = 3
) -> list[float]:
    """Milliseconds of each of up to `repeats` calls, after some that do not count.

    Warm-up calls are all made, since they compile and choose algorithms; then calls end with the budget, though not
    before three are measured.
    """
    for _ in range(warmup):
        call()
    synchronize(device)
    times: list[float] = []
    watch, end = Stopwatch(device), time.monotonic() + budget_s
    while len(times) < repeats and (len(times) < 3 or time.monotonic() < end):
        watch.mark()
        call()
        watch.mark()
        times += watch.laps()
    return times


def synchronize(*devices: torch.device) -> None:
    """Wait until the devices have done all that they were given."""
    for device in devices:
        if device.type == "cuda":
            torch.cuda.synchronize(device)


def free_memory() -> None:
    """Give back what a part of the benchmark has used, and what was compiled for it."""
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def fixed_settings() -> Iterator[None]:
    """What changes speed, said outright and the same for all that is compared: TF32, and cuDNN's search on."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32)
    cudnn.benchmark = cudnn.allow_tf32 = matmul.allow_tf32 = True
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before
