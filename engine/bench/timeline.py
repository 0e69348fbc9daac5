"""A picture of what overlaps: one bar for each piece of work, one row for each place where it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Bar = tuple[str, float, float, str]
"""(row, start, end, label), start and end in milliseconds since the start of the run."""


def draw(bars: Sequence[Bar], path: Path, title: str) -> None:
    """Draw bars to a picture at `path`; rows from top to bottom in the order in which they first occur."""
    # Not for the screen: the object interface needs no backend and leaves no figure open.
    from matplotlib.figure import Figure

    rows = list(dict.fromkeys(row for row, *_ in bars))
    start = min((begin for _, begin, _, _ in bars), default=0.0)
    figure = Figure(figsize=(12, 1.2 + 0.7 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for index, row in enumerate(rows):
        mine = [bar for bar in bars if bar[0] == row]
        spans = [(begin - start, end - begin) for _, begin, end, _ in mine]
        # Neighbours differ in shade, so that one sees where one iteration ends and the next begins.
        colours = [(f"C{index % 10}", 1.0 if number % 2 else 0.55) for number in range(len(mine))]
        axes.broken_barh(spans, (index - 0.35, 0.7), facecolors=colours, edgecolor="white", linewidth=0.5)
        for (begin, length), (_, _, _, label) in zip(spans, mine, strict=True):
            axes.text(begin + length / 2, index, label, ha="center", va="center", fontsize=7, clip_on=True)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds")
    axes.set_title(title)
    figure.savefig(path, dpi=120)
