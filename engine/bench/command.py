"""The command `animacy bench engine`: all parts of the benchmark, one after the other, and their report."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from animacy.engine.bench import sections
from animacy.engine.bench.measure import fixed_settings, free_memory
from animacy.engine.bench.report import Environment, Report, Section
from animacy.engine.bench.workload import workload


def run(
    preset: str,
    gpus: int,
    seconds: float,
    sessions: int,
    output: Path,
    baseline: bool,
    kernels: bool,
    say: Callable[[str], None],
    height: int | None = None,
    width: int | None = None,
    budget: float = 300.0,
    fp8: bool = False,
    steps: int | None = None,
    window: int | None = None,
    memory: int | None = None,
) -> Path:
    """Measure the engine, and on request its kernels and diffusers' modules beside it.

    Args:
        preset: its name.
        gpus: how many (`animacy.engine.spread`); 0 runs on the processor, which is for tiny presets.
        seconds: of the engine's steady run.
        sessions: how many are generated together.
        output: the folder for `report.md`, `report.json` and `timeline.png`.
        baseline: whether diffusers' modules are measured too.
        kernels: whether each kernel is measured too.
        say: takes lines of progress.
        height: of the picture in pixels; None takes the preset's.
        width: as `height`.
        fp8: matrix products of the transformer in FP8, see `Preset.tuned`; of `steps`, `window` and `memory` too.
        steps: denoising steps; None takes the preset's.
        window: latent frames; None takes the preset's.
        memory: as `window`.
        budget: seconds after which kernels and diffusers begin no further measurement, each.

    Returns:
        The page of the report. A part that fails is told there, and the others go on.

    Raises:
        EngineError: the workload cannot be run at all.
    """
    work = workload(preset, gpus, sessions, height, width, fp8, steps, window, memory)
    words = ["animacy", "bench", "engine", "--preset", preset, "--gpus", str(gpus), "--seconds", f"{seconds:g}"]
    words += ["--sessions", str(sessions), "--size", f"{work.size[1]}x{work.size[0]}"]
    words += ["--fp8"] if fp8 else []
    words += [] if steps is None else ["--steps", str(steps)]
    words += [] if window is None else ["--window", str(window)]
    words += [] if memory is None else ["--memory", str(memory)]
    words += [] if baseline else ["--no-baseline"]
    words += [] if kernels else ["--no-kernels"]
    title = f"{preset} at {work.size[1]}x{work.size[0]}, {sessions} session{'' if sessions == 1 else 's'}"
    report = Report(title, shlex.join(words), Environment.here())
    output.mkdir(parents=True, exist_ok=True)
    parts = _Parts(report, output, say)
    with fixed_settings():
        parts.add("Memory planned", lambda: sections.plan_section(work))
        measured = parts.add("The engine", lambda: sections.engine_section(work, seconds, output, say))
        if kernels:
            parts.add("Kernels", lambda: sections.kernels_section(work, budget, say))
        if baseline:
            ours = measured.data["interval"]["p50"] if measured.data else None
            parts.add("Beside diffusers", lambda: sections.baseline_section(work, ours, budget, say))
    say(f"report: {output / 'report.md'}")
    return report.write(output)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Runs one part after the other, so that what one of them breaks or fills does not reach the others."""

    report: Report
    output: Path
    say: Callable[[str], None]

    def add(self, title: str, make: Callable[[], Section]) -> Section:
        """Run a part and write the report with it; its failure becomes its section."""
        try:
            section = make()
        except Exception as error:  # whatever it is, the other parts are still worth having
            self.say(f"{title} failed: {type(error).__name__}: {error}")
            section = Section(title, notes=(f"Failed: {type(error).__name__}: {error}",))
        free_memory()
        self.report.sections.append(section)
        self.report.write(self.output)
        return section
