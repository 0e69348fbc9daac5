"""The sections of the report: what each part measured as tables, with what the figures mean.

A part is imported when it is run, so that one that cannot be imported loses no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from animacy.engine.bench import timeline
from animacy.engine.bench.measure import Spread
from animacy.engine.bench.report import Section, Table
from animacy.engine.bench.timeline import Bar
from animacy.engine.bench.workload import Workload
from animacy.engine.errors import EngineError
from animacy.engine.plan import plan

if TYPE_CHECKING:
    from animacy.engine.bench.baseline import Baseline

Say = Callable[[str], None]


def plan_section(work: Workload) -> Section:
    """What memory will be needed; a refusal is told and no more, so that a run shows whether the plan was right."""
    planned = plan(work.preset, *work.size, sessions=work.sessions, gpus=len(work.devices))
    notes: tuple[str, ...] = ()
    if work.on_gpu:
        try:
            planned.check(work.free_bytes())
        except EngineError as refusal:
            notes = (" ".join(str(refusal).split()),)
    rows = [(item.name, _gib(item.bytes), str(item.device), "" if item.exact else "estimate") for item in planned.items]
    rows += [("together", _gib(planned.bytes_on(device)), str(device), "") for device in range(planned.devices)]
    data = [asdict(item) for item in planned.items]
    return Section("Memory planned", (Table(("what", "GiB", "GPU", ""), tuple(rows)),), notes, data=data)


def engine_section(work: Workload, seconds: float, output: Path, say: Say) -> Section:
    """The engine's figures and its timeline."""
    from animacy.engine.bench import engine

    figures, bars = engine.measure(work, seconds, say)
    drawn, left_out = _timeline(work, bars, output)
    times = Table(
        ("ms", "p50", "p95", "p99", "max", "std"),
        (
            _row("denoise an iteration", figures.denoise),
            _row("decode an iteration", figures.decode),
            _row("from one iteration's frames to the next", figures.interval),
            _row("warm: picture to first frame", figures.first.admit),
            _row("warm: speech to its frames", figures.first.response),
        ),
    )
    memory = figures.memory
    whole = Table(
        ("", ""),
        (
            ("effective time a frame", f"{figures.frame_ms:.2f} ms"),
            ("frames a second, each session", f"{figures.fps:.1f}"),
            ("p99 / p50 of an iteration", f"{figures.interval.p99 / figures.interval.p50:.3f}"),
            (
                "iterations",
                f"{figures.iterations} in {figures.seconds:.0f} s, {figures.frames_per_iteration} frames each",
            ),
            ("cold: networks in memory to first frames", f"{figures.first.cold_s:.1f} s"),
            ("of it warm-up", f"{figures.first.warm_up_s:.1f} s"),
            *((f"peak of GPU {gpu}", f"{_gib(peak)} GiB") for gpu, peak in zip(work.own, memory.peak, strict=False)),
            *(
                (f"growth of GPU {gpu}", f"{_mib(grown)} MiB")
                for gpu, grown in zip(work.own, memory.growth, strict=False)
            ),
            ("growth of the host process", f"{_mib(memory.host_growth)} MiB"),
        ),
    )
    data = {**asdict(figures), "frame_ms": figures.frame_ms, "fps": figures.fps}
    notes = (
        "Random weights and speech. The host waits for each iteration's frames in its own memory.",
        "Peak and growth are what PyTorch holds of the GPU, not all of which is in use.",
    )
    return Section("The engine", (whole, times), (*notes, *left_out), drawn, {**data, "timeline": bars})


def _timeline(work: Workload, bars: list[Bar], output: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Draw it; (picture, what was left out). Figures are worth having where nothing can be drawn."""
    try:
        timeline.draw(bars, output / "timeline.png", f"{work.preset.name}: what overlaps, iteration by iteration")
    except ModuleNotFoundError as error:
        return (), (f"The timeline was left out: {error}.",)
    return ("timeline.png",), ()


def kernels_section(work: Workload, budget_s: float, say: Say) -> Section:
    """Each kernel beside its reference."""
    from animacy.engine.bench import kernels

    told = _Told(say)
    timed = list(kernels.measure(work, budget_s, told))
    columns = ("kernel", "shape", "us", "p95", "reference us", "p95", "ratio", "compiled us", "p95", "ratio")
    rows = tuple(
        (
            one.name,
            "x".join(map(str, one.shape)),
            *_us(one.kernel),
            *_us(one.eager),
            f"{one.eager[0] / one.kernel[0]:.2f}",
            *_us(one.compiled),
            f"{one.compiled[0] / one.kernel[0]:.2f}",
        )
        for one in timed
    )
    notes = ("Captured in a CUDA graph and replayed: the GPU's time alone, with a warm L2 cache; bfloat16.",)
    tables = (Table(columns, rows),) if rows else ()
    return Section("Kernels", tables, notes + told.left_out, data=[asdict(one) for one in timed])


def baseline_section(work: Workload, ours_ms: float | None, budget_s: float, say: Say) -> Section:
    """diffusers' modules, and how many times as long as ours they take; `ours_ms` is None when ours is not known."""
    from animacy.engine.bench import baseline

    told = _Told(say)
    measured = list(baseline.measure(work, budget_s, told))
    columns = (
        "diffusers",
        "a forward sees",
        "denoise ms",
        "decode ms",
        "together ms",
        "overlapped ms",
        "together / ours",
    )
    rows = tuple(_baseline_row(one, ours_ms) for one in measured)
    notes = [
        "Sink and window recomputed: every forward runs over all latent frames that ours sees through its cache, as a "
        "user of these modules has to.",
        "New frame alone: no forward sees any past. A lower bound, with which no picture could be made.",
        "Together is denoising, then decoding; overlapped is what two GPUs would take at best, were it written.",
        "All are treated kindly: one timestep for all tokens, no solver, no attention to speech, frames left on the "
        "GPU, the decoder called with its own feature cache, cuDNN's search on.",
    ]
    notes += [
        f"{_kind(one)}, {one.past}: who recomputes the past needs no commit, which leaves {one.uncommitted_ms:.1f} ms"
        f"{_ratio(one.uncommitted_ms, ours_ms, ' ({} of ours)')}."
        for one in measured
        if one.past is baseline.Past.RECOMPUTED and one.forwards > one.steps
    ]
    data = [{**asdict(one), "iteration_ms": one.iteration_ms, "ours_ms": ours_ms} for one in measured]
    tables = (Table(columns, rows),) if rows else ()
    return Section("Beside diffusers", tables, (*notes, *told.left_out), data=data)


def _baseline_row(one: Baseline, ours_ms: float | None) -> tuple[str, ...]:
    seen = f"{one.past} ({one.frames} latent frames, {one.forwards} forwards)"
    times = (one.denoise.p50, one.decode.p50, one.iteration_ms, one.overlapped_ms)
    return _kind(one), seen, *(f"{time:.1f}" for time in times), _ratio(one.iteration_ms, ours_ms, "{}")


def _kind(one: Baseline) -> str:
    return "compiled" if one.compiled else "eager"


def _ratio(theirs: float, ours: float | None, wording: str) -> str:
    return "" if ours is None else wording.format(f"{theirs / ours:.2f} x")


def _row(name: str, spread: Spread) -> tuple[str, ...]:
    return name, *(f"{value:.2f}" for value in (spread.p50, spread.p95, spread.p99, spread.max, spread.std))


def _us(times: tuple[float, float]) -> tuple[str, str]:
    return f"{times[0]:.1f}", f"{times[1]:.1f}"


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f}"


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f}"


class _Told:
    """Passes progress on, and keeps what was left out or failed for the report."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.left_out: tuple[str, ...] = ()

    def __call__(self, line: str) -> None:
        self._say(line)
        if "left out" in line or "failed" in line:
            self.left_out += (line,)
