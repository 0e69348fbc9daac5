"""What is read of the passages that were found: their sentences next to the question.

A model on this machine reads some fifty tokens a second, so that two whole passages would delay its answer by as many
seconds; and what has nothing to do with the question leads small models astray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from animacy.core.knowledge.contract import Hit

LEAD_IN = 0.6
"""A sentence counts at least this share of the one after it, which may point back to it ("It costs ...")."""
GOES_ON = (":", ";", ",")
"""What ends a part of a sentence: the next part belongs to it."""


@dataclass(frozen=True, slots=True)
class _Sentence:
    hit: int
    place: int
    text: str
    weight: float


def excerpts(hits: Sequence[Hit], characters: int) -> list[str]:
    """What to read of each passage, "" if nothing: whole sentences, at least one, at most so many characters in all."""
    chosen: list[_Sentence] = []
    left = characters
    for sentence in sorted(_all(hits), key=lambda one: -one.weight):
        if not chosen or len(sentence.text) <= left:
            chosen.append(sentence)
            left -= len(sentence.text)
    chosen.sort(key=lambda one: one.place)
    return [" ".join(one.text for one in chosen if one.hit == number) for number in range(len(hits))]


def _all(hits: Sequence[Hit]) -> list[_Sentence]:
    sentences: list[_Sentence] = []
    for number, hit in enumerate(hits):
        joined = _joined(hit.sentences)
        weights = [closeness * hit.score for _, closeness in joined]
        for place, (text, _) in enumerate(joined):
            after = weights[place + 1] if place + 1 < len(weights) else 0.0
            sentences.append(_Sentence(number, place, text, max(weights[place], LEAD_IN * after)))
    return sentences


def _joined(parts: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Whole sentences, as close as their closest part, and rows of tables with the names of their columns."""
    whole: list[tuple[str, float]] = []
    goes_on = False
    columns: list[str] = []
    for text, closeness in parts:
        if not text.startswith("|"):
            columns = []
        elif not columns:
            columns = _cells(text)
            continue
        else:
            text = ", ".join(f"{name}: {cell}" for name, cell in zip(columns, _cells(text), strict=False) if cell) + "."
        if goes_on:
            before, best = whole.pop()
            text, closeness = f"{before} {text}", max(best, closeness)
        whole.append((text, closeness))
        goes_on = text.endswith(GOES_ON)
    return whole or list(parts)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]
