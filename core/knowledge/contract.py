"""What a knowledge plugin must offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""One vector a row."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that can be read alone.

    `id` is stable for the same text at the same place. `source` is the document's path relative to the recipe, with
    forward slashes; `headings` lead to the passage, outermost first; `metadata` is what the document says of itself.
    """

    id: str
    text: str
    source: str
    headings: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> str:
        """The text after its headings, as it is compared with questions."""
        return f"{' > '.join(self.headings)}\n{self.text}" if self.headings else self.text


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that may answer, and how well it fits: 0 to 1, comparable between questions.

    `sentences` are the passage's, in order, each with how close it is to the question (cosine).
    """

    passage: Passage
    score: float
    sentences: tuple[tuple[str, float], ...] = ()


@runtime_checkable
class Embedder(Protocol):
    """Turns text into vectors. Blocks; called from worker threads, one call at a time."""

    @property
    def identity(self) -> str:
        """Names the model and its version: vectors of different identities must never be compared."""
        ...

    def load(self) -> None:
        """Load the model; does nothing the second time. Raises ModelError."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one a row, of at least one text."""
        ...

    def close(self) -> None:
        """Free the model. May be called twice."""
        ...


@runtime_checkable
class KnowledgeStore(Protocol):
    """Keeps passages with their vectors. Blocks; called from worker threads, one call at a time.

    Every method after `open` raises KnowledgeError when the store cannot be read or written. What `add`, `finish` and
    `remove` wrote must survive a process that is killed right after them.
    """

    def open(self, folder: Path, collection: str, identity: str) -> None:
        """Open or create a collection, in `folder` if it is kept on this machine. Raises KnowledgeError.

        `identity` names how its vectors came about: a collection of another identity is emptied first.
        """
        ...

    def digests(self) -> Mapping[str, str]:
        """The digest of every document that is wholly in it, by source."""
        ...

    def add(self, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Add passages, or replace those of the same id."""
        ...

    def finish(self, source: str, digest: str, ids: Sequence[str]) -> None:
        """The passages of this version of a document are `ids`, all in it by now; its others go."""
        ...

    def remove(self, source: str) -> None:
        """Forget a document, or what there is of it."""
        ...

    def nearest(self, vector: Vectors, count: int) -> Sequence[tuple[Passage, float]]:
        """Up to `count` passages next to one vector, with their cosine similarity, best first."""
        ...

    def vectors(self, ids: Sequence[str]) -> Mapping[str, Vectors]:
        """The vectors of these passages, by id; without those that are not in it."""
        ...

    def passages(self) -> Sequence[Passage]:
        """Everything, also of documents that are not wholly in it."""
        ...

    def close(self) -> None:
        """Let go of it. May be called twice."""
        ...
