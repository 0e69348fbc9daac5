"""How well and how fast Iris's documents are found: `python -m benchmarks.knowledge [--chunks 10000]`.

Retrieval: top-3 means that every passage that answers a question is among the first three; top-1 that the first is one
of them. Gate: an answerable question is kept when a passage of the first three that answers it reaches the gate, an
unanswerable one refused when nothing does. `--fit` prints the score's weights fitted on the half `tune`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from animacy.core.knowledge.bm25 import WordIndex
from animacy.core.knowledge.catalog import Catalog
from animacy.core.knowledge.contract import Embedder, Hit, KnowledgeStore, Passage
from animacy.core.knowledge.index import Progress
from animacy.core.knowledge.library import Library
from animacy.core.knowledge.search import Search, Sentences
from animacy.core.plugins import Plugins, Role
from animacy.core.provider import CharacterContext
from animacy.core.recipe import Knowledge

ROOT = Path(__file__).parents[1]
QUESTIONS = ROOT / "tests" / "data" / "knowledge" / "questions.yaml"
IRIS = ROOT / "recipes" / "iris"
LANGUAGE = "en-GB"
SHOWN = 3
"""Passages asked for, as a character does."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the hits it got, and how long that took in ms."""

    question: dict[str, Any]
    hits: list[Hit]
    milliseconds: float

    @property
    def answerable(self) -> bool:
        return self.question["kind"] != "none"

    def fits(self, hit: Hit) -> bool:
        return any(_is(hit.passage, wanted) for wanted in self.question.get("passages", ()))

    def found(self, count: int) -> bool:
        """Whether what answers is among the first `count`."""
        first = [hit.passage for hit in self.hits[:count]]
        wanted = [any(_is(passage, one) for passage in first) for one in self.question["passages"]]
        enough = any if count == 1 or self.question.get("any") else all
        return enough(wanted)

    def right(self, gate: float) -> bool:
        """Whether the gate decides right."""
        kept = [hit for hit in self.hits if hit.score >= gate]
        return any(map(self.fits, kept)) if self.answerable else not kept


def _is(passage: Passage, wanted: dict[str, str]) -> bool:
    return passage.source == wanted["source"] and wanted["contains"] in passage.text.replace("\n", " ")


def _parts() -> tuple[KnowledgeStore, Embedder]:
    plugins, context = Plugins().load(), CharacterContext("benchmark", language=LANGUAGE)
    made = []
    chosen: tuple[tuple[Role, str], ...] = (("knowledge", "chroma"), ("embedding", "minilm"))
    for role, name in chosen:
        provider = plugins.get(role, name)
        made.append(provider.create(provider.settings(), context))
    return made[0], made[1]


def _ask(library: Library, questions: Sequence[dict[str, Any]]) -> list[Asked]:
    library.find("warm up", (), 3)
    asked = []
    for question in questions:
        began = time.perf_counter()
        hits = library.find(question["question"], (), SHOWN)
        asked.append(Asked(question, hits, 1000 * (time.perf_counter() - began)))
    return asked


def _times(asked: Sequence[Asked]) -> str:
    times = sorted(one.milliseconds for one in asked)
    return f"query p50 {statistics.median(times):.1f} ms, p95 {times[int(0.95 * (len(times) - 1))]:.1f} ms"


def _table(asked: Sequence[Asked], gate: float) -> None:
    print(f"{'half':<6}{'top-1':>8}{'top-3':>8}{'kept':>8}{'refused':>9}{'near refused':>14}")
    for half in ("tune", "held", "all"):
        part = [one for one in asked if half in ("all", one.question["half"])]
        yes = [one for one in part if one.answerable]
        no = [one for one in part if not one.answerable]
        near = [one for one in no if one.question["near"]]
        cells = [
            f"{sum(one.found(1) for one in yes)}/{len(yes)}",
            f"{sum(one.found(3) for one in yes)}/{len(yes)}",
            *(f"{sum(one.right(gate) for one in some)}/{len(some)}" for some in (yes, no, near)),
        ]
        print(f"{half:<6}{cells[0]:>8}{cells[1]:>8}{cells[2]:>8}{cells[3]:>9}{cells[4]:>14}")


def _details(asked: Sequence[Asked], gate: float) -> None:
    for one in asked:
        best = next((hit.score for hit in one.hits if one.fits(hit)), 0.0)
        top = one.hits[0]
        found = f"right {best:.2f}" if one.answerable else "unanswerable"
        marks = ("" if not one.answerable or one.found(3) else " NOT FOUND") + (
            "" if one.right(gate) else " GATE WRONG"
        )
        print(
            f"{one.question['id']:>3} {one.question['half']} top {top.score:.2f} {found:<13} {one.question['question']}"
            f"  ->  {top.passage.source.split('/')[-1]} > {top.passage.headings[-1]}{marks}"
        )


def _fit(store: KnowledgeStore, embedder: Embedder, questions: Sequence[dict[str, Any]]) -> None:
    """Logistic regression of "this passage answers" on meaning and words, on the best passages of the tuning half."""
    rows, labels = [], []
    search = Search(store, embedder, WordIndex(store.passages(), LANGUAGE), Sentences(embedder))
    for question in questions:
        if question["half"] != "tune":
            continue
        text = question["question"]
        found = search.candidates(text, text, 20)
        found.sort(key=lambda item: -sum(item.features))
        wanted = [any(_is(item.passage, one) for one in question.get("passages", ())) for item in found]
        others = [item for item, right in zip(found, wanted, strict=True) if not right][:3]
        rights = [item for item, right in zip(found, wanted, strict=True) if right]
        for item in (*rights, *others):
            rows.append((*item.features, 1.0))
            labels.append(item in rights)
    x, y = np.array(rows), np.array(labels, float)
    weights = np.zeros(4)
    for _ in range(20_000):
        error = 1 / (1 + np.exp(-x @ weights)) - y
        weights -= 0.5 * (x.T @ error / len(y) + 0.002 * weights * (1, 1, 1, 0))
    print("fitted: meaning {:.2f}, sentence {:.2f}, words {:.2f}, offset {:.2f}".format(*weights))


def _made_up(folder: Path, chunks: int) -> None:
    """Documents of `chunks` passages, of the words of Iris's documents in another order."""
    random.seed(7)
    words = " ".join(path.read_text() for path in sorted((IRIS / "documents").glob("*.md"))).replace("#", "").split()
    words = [word for word in words if word[0].isalnum()]
    for number in range(-(-chunks // 100)):
        sections = (
            f"## Section {section}\n\n{' '.join(random.choices(words, k=60))}.\n"
            for section in range(min(100, chunks - 100 * number))
        )
        (folder / f"document{number:04}.md").write_text("\n".join((f"# Document {number}\n", *sections)))


def _tell(progress: Progress) -> None:
    if progress.done and progress.done % 1000 < 64 and progress.total > 1000:
        print(f"{progress.done} of {progress.total}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=0, help="measure times on so many made-up passages")
    parser.add_argument("--details", action="store_true", help="print every question")
    parser.add_argument("--fit", action="store_true", help="print weights fitted on the half `tune`")
    parser.add_argument("--gate", type=float, default=Knowledge.model_fields["sure_score"].default)
    arguments = parser.parse_args()
    questions = yaml.safe_load(QUESTIONS.read_text())["questions"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        documents, base = [IRIS / "documents"], IRIS
        if arguments.chunks:
            base = folder / "made"
            base.mkdir()
            _made_up(base, arguments.chunks)
            documents = [base, *documents]
        store, embedder = _parts()
        library = Library(store, embedder, Catalog("benchmark", documents, base, folder / "index"), LANGUAGE)
        began = time.perf_counter()
        library.open()
        opened = time.perf_counter() - began
        try:
            began = time.perf_counter()
            report = library.index(_tell).result()
            seconds = time.perf_counter() - began
            print(
                f"opened in {opened:.2f} s; {len(report.added)} documents, {report.passages} passages indexed in "
                f"{seconds:.1f} s ({report.passages / seconds:.0f} a second)"
            )
            asked = _ask(library, questions)
            if arguments.fit:
                _fit(store, embedder, questions)
            if arguments.details:
                _details(asked, arguments.gate)
            if not arguments.chunks:
                print(f"gate {arguments.gate:g}")
                _table(asked, arguments.gate)
            print(f"asked for the first time: {_times(asked)}")
            print(f"asked again: {_times(_ask(library, questions))}")
        finally:
            library.close()


if __name__ == "__main__":
    main()
