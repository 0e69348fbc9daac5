"""Draws the comparison: every question, the medians, and where the time goes."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.conversation.rows import STAGES, Row, ratio

COLOURS = ("#b279a2", "#9d9d9d", "#4c78a8")
STAGE_COLOURS = {
    "transcript": "#4c78a8",
    "turn": "#72b7b2",
    "token": "#f58518",
    "voice": "#54a24b",
    "response": "#b279a2",
}


def draw(rows: list[Row], figures: dict[str, Any], machine: dict[str, str], path: Path) -> None:
    """Write a PNG."""
    from matplotlib.figure import Figure

    systems = list(figures)
    questions = list(dict.fromkeys(row.question for row in rows))
    rows_high = 0.42 * len(questions) + 1.0
    figure = Figure(figsize=(10, 3.6 + rows_high), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[rows_high, 2.0])
    for colour, system in zip(COLOURS, systems, strict=False):
        own = [row for row in rows if row.system == system and row.response is not None]
        places = [questions.index(row.question) for row in own]
        top.scatter([row.response for row in own], places, color=colour, s=28, alpha=0.75, label=system, zorder=3)
        middle = figures[system]["response"]["p50"]
        if middle is not None:
            top.axvline(middle, color=colour, linewidth=1.5, linestyle="--")
            top.text(middle, len(questions) - 0.45, f" {middle:.2f} s", color=colour, fontsize=9, va="bottom")
    asked = {row.question: row.asked for row in rows if row.asked}
    top.set_yticks(range(len(questions)), [_shorten(asked.get(q, q)) for q in questions], fontsize=8)
    top.set_ylim(len(questions) - 0.4, -0.6)
    top.set_xlim(left=0)
    top.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16 - 0.5 / len(questions)), fontsize=8, ncols=len(systems))
    top.set_xlabel("seconds from the end of speech to the first response (frame; stock Pipecat: sound)")
    share = ratio(figures)
    beside = "" if share is None else f", ratio {share:.2f}"
    top.set_title(f"Question to response, medians dashed{beside} ({machine.get('cores', '?')} cores)", fontsize=10)
    _waterfall(bottom, rows, systems)
    for axes in (top, bottom):
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=120, format="png")


def _waterfall(axes: Any, rows: list[Row], systems: list[str]) -> None:
    """A bar per system, cut where the median of each stage lies."""
    for place, system in enumerate(systems):
        own = [row for row in rows if row.system == system]
        medians = []
        for stage in STAGES:
            known = [at for row in own if (at := row.moments.get(stage)) is not None]
            if known:
                medians.append((median(known), stage))
        begin = 0.0
        for end, stage in sorted(medians):
            axes.barh(place, max(end - begin, 0.0), left=begin, height=0.55, color=STAGE_COLOURS[stage])
            begin = max(begin, end)
        axes.text(begin + 0.03, place, f"{begin:.2f} s", va="center", fontsize=9)
    axes.set_yticks(range(len(systems)), systems, fontsize=9)
    axes.set_ylim(len(systems) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("median of each stage, seconds after the end of speech")
    handles = [axes.barh(0, 0, color=colour, label=stage) for stage, colour in STAGE_COLOURS.items()]
    axes.legend(handles=handles, fontsize=8, ncols=len(handles), loc="upper center", bbox_to_anchor=(0.5, -0.35))


def _shorten(text: str, length: int = 46) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
