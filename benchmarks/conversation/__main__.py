"""The whole loop in real time: ten spoken questions to `animacy run`, and to stock Pipecat with the same models.

    pip install -e '.[bench]'
    python -m benchmarks.conversation [--repeats 3] [--questions 10] [--out out/conversation]
    python -m benchmarks.conversation --no-baseline --beside recipes/iris/guide.yaml    # what knowledge and tools cost

Both hear the same recordings through a microphone that streams in real time, one after the other, a pass of each per
repeat; neither runs while the other is measured. Time counts from the last voiced sample of the question, to the first
frame of the answer as it arrives at a client of the live protocol, and to the first voiced sound that stock Pipecat
gives its loudspeaker. One question before each pass is not counted. Nothing is fetched from a network.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from animacy.core.pipeline.session import machine
from benchmarks.conversation.ours import ask_all
from benchmarks.conversation.picture import draw
from benchmarks.conversation.rows import (
    ANIMACY,
    BASELINE,
    STAGES,
    Row,
    extra,
    ratio,
    read_rows,
    summary,
    write_rows,
)
from benchmarks.serving import IRIS, QUESTIONS, ROOT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=IRIS)
    parser.add_argument("--beside", type=Path, help="another recipe that is asked the same in the same run")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "conversation")
    parser.add_argument("--questions", type=int, default=10, help="how many of the bundled questions")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--port", type=int, default=0, help="of the server; any free one when left out")
    parser.add_argument("--baseline", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    if options.baseline and find_spec("kokoro_onnx") is None:
        sys.exit("the baseline needs more packages: pip install -e '.[bench]' (or --no-baseline)")
    options.out.mkdir(parents=True, exist_ok=True)
    questions = bundled(options.questions)
    rows: list[Row] = []
    metrics: dict[str, Any] = {}
    for repeat in range(options.repeats):
        log = options.out / "server.log"
        ours, metrics = asyncio.run(ask_all(options.recipe, questions, repeat, options.port, log))
        rows += show(ours)
        if options.beside is not None:
            log, name = options.out / "beside.log", f"{ANIMACY} {options.beside.name}"
            rows += show(asyncio.run(ask_all(options.beside, questions, repeat, options.port, log, name))[0])
        if options.baseline:
            rows += show(baseline(options.recipe, questions, repeat, options.out))
    conclude(rows, metrics, options.out)


def bundled(count: int) -> list[tuple[Path, str]]:
    """The recordings and what is said in them."""
    listed = json.loads((QUESTIONS / "questions.json").read_text("utf-8"))["questions"]
    texts = {question["file"]: question["text"] for question in listed}
    return [(path, texts[path.name]) for path in sorted(QUESTIONS.glob("*.flac"))[:count]]


def baseline(recipe: Path, questions: list[tuple[Path, str]], repeat: int, out: Path) -> list[Row]:
    """A pass of stock Pipecat, in a process of its own."""
    found = out / "baseline.json"
    command = [sys.executable, "-m", "benchmarks.conversation.baseline", *(path for path, _ in questions)]
    arguments = ["--recipe", recipe, "--repeat", repeat, "--out", found]
    with (out / "baseline.log").open("wb") as log:
        subprocess.run([*map(str, command), *map(str, arguments)], check=True, cwd=ROOT, stdout=log, stderr=log)
    rows = read_rows(found)
    for row, (_, text) in zip(rows, questions, strict=True):
        row.asked = text
    return rows


def show(rows: list[Row]) -> list[Row]:
    """Print what each question came to."""
    for row in rows:
        stages = "  ".join(f"{stage} {seconds(row.moments.get(stage))}" for stage in STAGES)
        print(f"{row.system} {row.question}: {row.asked!r}\n    heard {row.transcript!r}\n    said  {row.answer!r}")
        more = "" if row.substance is None else f"  substance {seconds(row.substance)}  pause {seconds(row.pause)}"
        print(f"    {stages}  sound {seconds(row.sound)}{more}", flush=True)
    return rows


def conclude(rows: list[Row], metrics: dict[str, Any], out: Path) -> None:
    """Print and write the figures, draw the picture."""
    figures = summary(rows)
    for system, own in figures.items():
        print(f"\n{system}: {own['asked']} questions, {own['response']['n']} answered")
        for name in ("response", "sound", "substance", "pause_after_opening"):
            if own[name]["n"]:
                print(f"  {name:<20} median {seconds(own[name]['p50'])} s   p95 {seconds(own[name]['p95'])} s")
    share = ratio(figures)
    if share is not None:
        print(f"\n{ANIMACY} to first frame / {BASELINE} to first sound: {share:.2f}")
    added = extra(figures)
    for system, more in added.items():
        told = ", ".join(f"{name} {later:+.2f} s" for name, later in more.items())
        print(f"{system} takes more (medians): {told}")
    on = {**machine(), "processor": processor(), "onnxruntime": metadata.version("onnxruntime")}
    result = {"machine": on, "ratio": share, "more": added, "systems": figures, "server": metrics}
    (out / "summary.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    write_rows(rows, out / "questions.json")
    draw(rows, figures, on, out / "comparison.png")
    print(f"see {out / 'comparison.png'} and {out / 'summary.json'}")


def processor() -> str:
    """Its name, where the system tells (Linux)."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
