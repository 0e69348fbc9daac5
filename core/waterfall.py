"""The latency waterfall: where the time between a question and its answer goes, as a picture."""

from __future__ import annotations

from pathlib import Path

from animacy.core.report import Report, TurnReport

STAGES = (
    ("final_transcript", "transcript", "#4c78a8"),
    ("turn_decision", "turn decided", "#72b7b2"),
    ("first_llm_token", "first token", "#f58518"),
    ("first_tts_audio", "first sound", "#54a24b"),
    ("first_response_frame", "first frame", "#b279a2"),
)


def draw_waterfall(report: Report, path: Path) -> None:
    """Write a PNG with a row per stage and turn. A bar spans from the stage before it to the moment it was done."""
    from matplotlib.figure import Figure

    turns = [turn for turn in report.turns if turn.first_response_frame is not None]
    figure = Figure(figsize=(9, 1.6 + 1.5 * max(1, len(turns))), layout="constrained")
    axes = figure.subplots()
    rows: list[str] = []
    for turn in turns:
        title = f"{turn.index + 1}. {_shorten(turn.user)}"
        for begin, end, label, colour in _bars(turn):
            row = len(rows)
            axes.barh(row, max(end - begin, 0.004), left=begin, color=colour, height=0.7)
            axes.text(end + 0.02, row, f"{end:.2f} s", va="center", fontsize=8, color="#333333")
            rows.append(f"{title}   {label}" if begin == 0.0 and label == _bars(turn)[0][2] else label)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("seconds after the end of the user's speech")
    axes.set_xlim(0, 1.12 * max([turn.first_response_frame or 0.0 for turn in turns], default=1.0))
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    middle = "no answer" if report.median_response is None else f"median {report.median_response:.2f} s"
    cores = report.machine.get("cores", "?")
    axes.set_title(f"{report.character}: question to first frame of the answer, {middle}, {cores} cores", fontsize=10)
    figure.savefig(path, dpi=120, format="png")


def _bars(turn: TurnReport) -> list[tuple[float, float, str, str]]:
    """(begin, end, label, colour) of each stage, in the order in which they were done."""
    moments = [(getattr(turn, key), label, colour) for key, label, colour in STAGES]
    bars, begin = [], 0.0
    for moment, label, colour in sorted((m for m in moments if m[0] is not None), key=lambda m: m[0]):
        bars.append((begin, max(moment, 0.0), label, colour))
        begin = max(moment, 0.0)
    return bars


def _shorten(text: str, length: int = 42) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
