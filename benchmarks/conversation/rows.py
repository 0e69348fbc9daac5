"""What was measured of one question, and what all of them come to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from animacy.core.pipeline.samples import percentile

STAGES = ("transcript", "turn", "token", "voice", "response")
"""Moments of an answer in the order in which they usually come; `response` is what the user notices first."""

ANIMACY, BASELINE = "animacy", "stock pipecat"


@dataclass(slots=True)
class Row:
    """One question. Times are seconds after the last voiced sample of the question; None if it never came.

    `response` is the first frame of the answer at the client (stock Pipecat: its first voiced sound), `sound` the
    first voiced sound. `substance` is the first word after the opening and `pause` the silence before it, where the
    answer begins with an opening.
    """

    system: str
    repeat: int
    question: str
    asked: str
    moments: dict[str, float | None] = field(default_factory=dict)
    sound: float | None = None
    substance: float | None = None
    pause: float | None = None
    transcript: str = ""
    answer: str = ""

    @property
    def response(self) -> float | None:
        return self.moments.get("response")


def spread(values: list[float | None]) -> dict[str, float | int | None]:
    """n, median, p95 and max of those that came."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return {"n": 0, "p50": None, "p95": None, "max": None}
    figures = {"p50": median(known), "p95": percentile(known, 0.95), "max": known[-1]}
    return {"n": len(known), **{name: round(figure, 3) for name, figure in figures.items()}}


def summary(rows: list[Row]) -> dict[str, Any]:
    """Per system: overall, per stage and per question."""
    result: dict[str, Any] = {}
    for system in dict.fromkeys(row.system for row in rows):
        own = [row for row in rows if row.system == system]
        by_question = {
            question: spread([row.response for row in own if row.question == question])
            for question in dict.fromkeys(row.question for row in own)
        }
        result[system] = {
            "asked": len(own),
            "response": spread([row.response for row in own]),
            "sound": spread([row.sound for row in own]),
            "substance": spread([row.substance for row in own]),
            "pause_after_opening": spread([row.pause for row in own]),
            "moments": {stage: spread([row.moments.get(stage) for row in own]) for stage in STAGES},
            "questions": by_question,
        }
    return result


def ratio(figures: dict[str, Any]) -> float | None:
    """Median response of ours over that of the baseline."""
    ours = figures.get(ANIMACY, {}).get("response", {}).get("p50")
    theirs = figures.get(BASELINE, {}).get("response", {}).get("p50")
    return round(ours / theirs, 3) if ours and theirs else None


def extra(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """How much later than the bare character those beside it answer, in seconds of the medians."""
    bare = figures[ANIMACY]
    beside = {system: own for system, own in figures.items() if system not in (ANIMACY, BASELINE)}
    return {
        system: {
            name: round(own[name]["p50"] - bare[name]["p50"], 3)
            for name in ("response", "substance")
            if own[name]["n"] and bare[name]["n"]
        }
        for system, own in beside.items()
    }


def write_rows(rows: list[Row], path: Path) -> None:
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False), encoding="utf-8")


def read_rows(path: Path) -> list[Row]:
    return [Row(**row) for row in json.loads(path.read_text("utf-8"))]
