"""The whole loop, in real time, on the bundled spoken questions: one film each, and a table of what was measured.

    python -m benchmarks.loop [--recipe recipes/iris/recipe.yaml] [--out out/loop] [--questions 10]

It prints, for each question, the transcript, the answer, the turn-around to the first frame of the answer and its
stages, what became of the frames, the film's longest gap and its audio-to-video offset, and how the mouth goes with
the voice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np

from animacy.core.report import Report
from benchmarks.lips import LipSync, measure

ROOT = Path(__file__).parents[1]
STAGES = ("final_transcript", "turn_decision", "first_llm_token", "first_tts_audio", "first_response_frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "iris" / "recipe.yaml")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "loop")
    parser.add_argument("--questions", type=int, default=10)
    parser.add_argument("--lips", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    questions = sorted((ROOT / "tests" / "data" / "questions").glob("*.flac"))[: options.questions]
    rows = [ask(options.recipe, question, options.out, options.lips) for question in questions]
    summarise(rows, options.out)


def ask(recipe: Path, question: Path, out: Path, lips: bool) -> tuple[Report, LipSync | None]:
    """One conversation through the real command line."""
    film, report = out / f"{question.stem}.mp4", out / f"{question.stem}.json"
    command = [sys.executable, "-c", "from animacy.core.cli import main; main()", "run", recipe, "--input", question]
    files = ["--output", film, "--report", report, "--waterfall", film.with_suffix(".png")]
    subprocess.run([*map(str, command), *map(str, files)], check=True, capture_output=True, text=True)
    result = Report.model_validate_json(report.read_text())
    sync = measure(film) if lips else None
    for turn in result.turns:
        stages = " ".join(f"{stage.removeprefix('first_')} {_seconds(getattr(turn, stage))}" for stage in STAGES)
        print(f"{question.stem}  {turn.user!r}\n    -> {turn.character!r}\n    {stages}")
    film_report = result.film
    assert film_report is not None
    print(
        f"    {film_report.width}x{film_report.height} {film_report.fps:g} fps, "
        f"gap {film_report.longest_gap_ms:.0f} ms, "
        f"a/v {film_report.audio_video_offset_ms} ms, late {result.frames.late}/{result.frames.sent}"
    )
    if sync is not None:
        print(
            f"    mouth: correlation {sync.correlation:.2f}, lag {sync.lag_ms:+.0f} ms, "
            f"open {sync.speaking_opening:.3f}, "
            f"at rest {sync.silent_opening:.3f}, open in silence {100 * sync.silent_open:.1f} %",
            flush=True,
        )
    return result, sync


def summarise(rows: list[tuple[Report, LipSync | None]], out: Path) -> None:
    """Medians and 95th percentiles over all questions."""
    turns = [turn for report, _ in rows for turn in report.turns]
    print(f"\n{len(rows)} questions, {rows[0][0].machine}")
    for stage in STAGES:
        times = [time for turn in turns if (time := getattr(turn, stage)) is not None]
        if times:
            print(f"  {stage:<22} median {median(times):.2f} s   p95 {np.percentile(times, 95):.2f} s   n {len(times)}")
    syncs = [sync for _, sync in rows if sync is not None]
    if syncs:
        correlations = [sync.correlation for sync in syncs]
        lags = [sync.lag_ms for sync in syncs]
        print(f"  mouth: correlation median {median(correlations):.2f} min {min(correlations):.2f}, "
              f"lag median {median(lags):+.0f} ms, worst {max(lags, key=abs):+.0f} ms")  # fmt: skip
    (out / "summary.json").write_text(
        json.dumps([json.loads(report.model_dump_json()) for report, _ in rows], indent=2)
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
