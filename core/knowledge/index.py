"""Bringing a store up to date with the documents on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from animacy.core.errors import KnowledgeError
from animacy.core.knowledge.contract import Embedder, KnowledgeStore
from animacy.core.knowledge.documents import Document, digest_of, read_document

BATCH = 64
"""Passages that are stored at a time: so many are done again at most after a run was killed."""
EMBEDDED = 8
"""Passages that are embedded at a time: a search waits for no more than these."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far indexing has come: passages of documents that are new or have changed."""

    done: int
    total: int
    source: str = ""


@dataclass(slots=True)
class Report:
    """What indexing did. `problems` holds an error for each document that could not be read; they stay as they were."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0
    passages: int = 0
    problems: list[KnowledgeError] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether the store holds something else than before."""
        return bool(self.added or self.removed)


class Stopped(Exception):  # noqa: N818 - it is no error
    """Indexing was asked to end early. What is done is kept, and the next run goes on from there."""


class Index:
    """Keeps a store equal to the documents. Blocks; one run at a time.

    A document is told apart by the sha256 of its content, a passage by its id: what is in the store is not embedded
    again, what is no longer on disk goes, and a run that was killed is finished by the next one.

    Parameters:
        store, embedder: open, and loaded.
        batch: passages at a time.
    """

    def __init__(self, store: KnowledgeStore, embedder: Embedder, batch: int = BATCH) -> None:
        self._store, self._embedder, self._batch = store, embedder, batch

    def run(
        self,
        documents: Mapping[str, Path],
        progress: Callable[[Progress], None] = lambda _: None,
        turn: Callable[[], AbstractContextManager[object]] = nullcontext,
        stop: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Index `documents`, by source. Raises KnowledgeError when the store fails, Stopped when `stop` says so.

        Every use of the store and the embedder is made within a `turn()`, and lasts for one batch at most.
        """
        report = Report()
        with turn():
            digests = self._store.digests()
            there: dict[str, set[str]] = {source: set() for source in digests}
            for passage in self._store.passages():
                there.setdefault(passage.source, set()).add(passage.id)
        for source in sorted(there.keys() - documents.keys()):
            _check(stop)
            with turn():
                self._store.remove(source)
            report.removed.append(source)
        changed: list[Document] = []
        for source, path in documents.items():
            _check(stop)
            try:
                if digest_of(path) == digests.get(source):
                    report.unchanged += 1
                else:
                    changed.append(read_document(source, path))
            except KnowledgeError as error:
                report.problems.append(error)
        total = sum(len(document.passages) for document in changed)
        done = 0
        progress(Progress(done, total))
        for document in changed:
            for stored in self._put(document, there.get(document.source, set()), turn, stop):
                progress(Progress(done + stored, total, document.source))
            done += len(document.passages)
            report.added.append(document.source)
        report.passages = done
        return report

    def _put(
        self,
        document: Document,
        there: set[str],
        turn: Callable[[], AbstractContextManager[object]],
        stop: Callable[[], bool],
    ) -> Iterator[int]:
        """Store a document, telling after each batch how many of its passages are done by now."""
        missing = [passage for passage in document.passages if passage.id not in there]
        done = len(document.passages) - len(missing)
        for at in range(0, len(missing), self._batch):
            _check(stop)
            batch = missing[at : at + self._batch]
            vectors = []
            for first in range(0, len(batch), EMBEDDED):
                _check(stop)
                with turn():
                    texts = [passage.whole for passage in batch[first : first + EMBEDDED]]
                    vectors.append(self._embedder.embed(texts))
            with turn():
                self._store.add(batch, np.concatenate(vectors))
            done += len(batch)
            yield done
        with turn():
            self._store.finish(document.source, document.digest, [passage.id for passage in document.passages])
        yield done


def _check(stop: Callable[[], bool]) -> None:
    if stop():
        raise Stopped
