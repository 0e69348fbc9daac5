"""What the commands of `animacy knowledge` do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from animacy.core.errors import KnowledgeError, RecipeError
from animacy.core.knowledge.documents import digest_of
from animacy.core.knowledge.index import Progress, Report
from animacy.core.knowledge.knowledge import library_of
from animacy.core.knowledge.library import Library
from animacy.core.models import fetch_all
from animacy.core.plugins import Plugins, suggestion
from animacy.core.recipe_loader import LoadedRecipe, load_recipe

POLL = 0.05
LINE_EVERY = 5.0
"""Seconds between two lines when the output is not a terminal."""


def add_documents(plugins: Plugins, recipe: Path, documents: Sequence[Path]) -> None:
    """Index the recipe's documents, and `documents`, which belong to it from now on."""
    loaded = _loaded(plugins, recipe)
    library = library_of(loaded)
    if documents:
        library.catalog.add(documents)
    with _opened(library):
        report = _watched(library.index)
        count = sum(library.passages().values())
        print(
            f"{len(report.added)} documents indexed, {report.unchanged} unchanged, {len(report.removed)} forgotten; "
            f"{loaded.recipe.character.name} knows {count} passages of {len(library.passages())} documents"
        )
        _fail_if_any(report)


def list_documents(plugins: Plugins, recipe: Path) -> None:
    """Print each document with its passages and its state."""
    with _opened(library_of(_loaded(plugins, recipe))) as library:
        known, passages, here = library.digests(), library.passages(), library.catalog.documents()
        table = Table("document", "passages", "state", box=None, pad_edge=False)
        for source in sorted({*passages, *known, *here}):
            table.add_row(source, str(passages.get(source, 0)), _state(known.get(source), here.get(source)))
    Console(highlight=False, markup=False, soft_wrap=True).print(table)


def search_documents(plugins: Plugins, recipe: Path, question: str, count: int) -> None:
    """Print the best `count` passages with their scores."""
    loaded = _loaded(plugins, recipe)
    assert loaded.recipe.knowledge is not None
    gate = loaded.recipe.knowledge.min_score
    with _opened(library_of(loaded)) as library:
        report = _watched(library.index)
        hits = library.find(question, (), count)
        for hit in hits:
            passage = hit.passage
            below = "" if hit.score >= gate else f"  (below min_score {gate:g}: not used)"
            print(f"{hit.score:.2f}  {passage.source}  {' > '.join(passage.headings)}{below}")
            print("      " + passage.text.replace("\n", "\n      "))
        if not hits:
            print("nothing was found")
        _fail_if_any(report)


def remove_document(plugins: Plugins, recipe: Path, document: str) -> None:
    """Forget a document. Raises KnowledgeError with the near names when there is none."""
    with _opened(library_of(_loaded(plugins, recipe))) as library:
        known = {*library.passages(), *library.catalog.documents()}
        if document not in known:
            raise KnowledgeError(f"there is no document {document!r}", suggestion(document, sorted(known)))
        library.catalog.remove(document)
        _fail_if_any(_watched(library.index))
        print(f"{document} is forgotten")


def _loaded(plugins: Plugins, path: Path) -> LoadedRecipe:
    loaded = load_recipe(path, plugins)
    if loaded.recipe.knowledge is None:
        raise RecipeError(f"{path}: the character has no `knowledge`", "Add: knowledge: {documents: [documents]}")
    fetch_all(loaded.models("embedding"))
    return loaded


@contextmanager
def _opened(library: Library) -> Iterator[Library]:
    library.open()
    with closing(library):
        yield library


def _watched(index: Callable[[Callable[[Progress], None]], Future[Report]]) -> Report:
    """Index with a bar on standard error, or a line now and then if that is no terminal."""
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    latest = Progress(0, 0)

    def tell(progress: Progress) -> None:
        nonlocal latest
        latest = progress

    running = index(tell)
    columns = (TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    next_line = time.monotonic() + LINE_EVERY
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("indexing", total=None)
        while not running.done():
            bar.update(task, completed=latest.done, total=latest.total or None)
            if not console.is_terminal and time.monotonic() >= next_line:
                next_line = time.monotonic() + LINE_EVERY
                console.print(f"indexing: {latest.done} of {latest.total} passages", markup=False)
            time.sleep(POLL)
    return running.result()


def _state(digest: str | None, path: Path | None) -> str:
    if path is None:
        return "gone: will be forgotten"
    try:
        current = digest_of(path)
    except KnowledgeError as error:
        return str(error.args[0])
    if digest is None:
        return "not indexed yet"
    return "indexed" if digest == current else "changed: will be indexed anew"


def _fail_if_any(report: Report) -> None:
    for problem in report.problems:
        print(f"error: {problem}", file=sys.stderr)
    if report.problems:
        raise typer.Exit(KnowledgeError.exit_code)
