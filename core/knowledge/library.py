"""A character's documents, open: indexed in the background, asked meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from filelock import Timeout

from animacy.core.knowledge.bm25 import WordIndex
from animacy.core.knowledge.catalog import Catalog
from animacy.core.knowledge.contract import Embedder, Hit, KnowledgeStore
from animacy.core.knowledge.index import Index, Progress, Report, Stopped
from animacy.core.knowledge.search import Search, Sentences
from animacy.core.threads import Priority, worker

FORM = 1
"""Counts up when passages or their vectors come about in another way, so that old indexes are made anew."""

PREPARED = 300
"""So many passages, if there are no more, are made ready before they are asked for."""


class Library:
    """A store with its embedder. Blocks; `find` and `close` come from one thread, indexing has another.

    Parameters:
        store, embedder: not open yet.
        catalog: which documents there are, and where their index is kept.
        language: BCP 47 tag of documents and questions.
    """

    def __init__(self, store: KnowledgeStore, embedder: Embedder, catalog: Catalog, language: str) -> None:
        self.catalog = catalog
        self._store, self._embedder, self._language = store, embedder, language
        self._stop = threading.Event()
        self._free = threading.Condition()
        self._asking = False
        self._thread = worker("knowledge-index", Priority.THINKING)
        self._indexing: Future[Report] | None = None
        self._words = WordIndex((), language)
        self._sentences = Sentences(embedder)

    def open(self) -> None:
        """Load the model and open the index. Raises ModelError, KnowledgeError or PluginError."""
        try:
            self._embedder.load()
            with self.catalog.lock("index.open"):
                self._open_store()
        except BaseException:
            self.close()
            raise

    @property
    def empty(self) -> bool:
        """Whether nothing can be found yet."""
        return not self._words.passages

    def index(self, progress: Callable[[Progress], None] = lambda _: None) -> Future[Report]:
        """Bring the index up to date with the documents, in the background; what is under way is not begun again.

        `progress` is called in the background too. The future raises KnowledgeError, or Stopped after `close`.
        """
        if self._indexing is None or self._indexing.done():
            self._indexing = self._thread.submit(self._index, progress)
        return self._indexing

    def find(self, question: str, context: Sequence[str] = (), count: int = 3) -> list[Hit]:
        """The passages that fit best, best first, whatever their score. Raises KnowledgeError."""
        self._asking = True
        with self._free:
            self._asking = False
            try:
                search = Search(self._store, self._embedder, self._words, self._sentences)
                return search.find(question, context, count)
            finally:
                self._free.notify_all()

    def passages(self) -> dict[str, int]:
        """How many passages of each document are in the index."""
        counts: dict[str, int] = {}
        for passage in self._words.passages:
            counts[passage.source] = counts.get(passage.source, 0) + 1
        return counts

    def digests(self) -> dict[str, str]:
        """The digests of the documents that are wholly in the index."""
        with self._turn():
            return dict(self._store.digests())

    def close(self) -> None:
        """End indexing after its batch, and let go of everything. May be called twice."""
        self._stop.set()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._store.close()
        self._embedder.close()

    def _open_store(self) -> None:
        identity = f"{self._embedder.identity} form {FORM}"
        self._store.open(self.catalog.folder, self.catalog.key, identity)
        self._words = WordIndex(self._store.passages(), self._language)

    def _index(self, progress: Callable[[Progress], None]) -> Report:
        lock = self.catalog.lock("index")
        waited = False
        while True:
            try:
                lock.acquire(timeout=0.2)
                break
            except Timeout:
                waited = True
                if self._stop.is_set():
                    raise Stopped from None
        try:
            if waited:  # what the other process wrote is seen by who opens the store again
                with self._turn():
                    self._store.close()
                    self._open_store()
            documents = self.catalog.documents()
            report = Index(self._store, self._embedder).run(documents, progress, self._turn, self._stop.is_set)
            if report.changed:
                with self._turn():
                    passages = self._store.passages()
                self._words = WordIndex(passages, self._language)
            self._thread.submit(self._prepare)
            return report
        finally:
            lock.release()

    def _prepare(self) -> None:
        """Of few passages everything is made ready for the first question; of many, what is asked for."""
        for passage in self._words.passages if len(self._words.passages) <= PREPARED else ():
            if self._stop.is_set():
                return
            with self._turn():
                self._sentences.prepare([passage])

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The store and the embedder for one batch; who asks a question goes first."""
        with self._free:
            self._free.wait_for(lambda: not self._asking)
            yield
