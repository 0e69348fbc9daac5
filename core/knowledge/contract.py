"""What a knowledge plugin must offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that can be read alone.

    `id` is stable for the same text at the same place. `source` is the document's path relative to the recipe, with
    forward slashes; `headings` lead to the passage, outermost first; `digest` is the sha256 of the whole document.
    """

    id: str
    text: str
    source: str
    headings: tuple[str, ...] = ()
    digest: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that may answer, and how well it fits: 0 to 1, comparable between questions."""

    passage: Passage
    score: float


@runtime_checkable
class Embedder(Protocol):
    """Turns text into vectors. Blocks; called from worker threads, one call at a time."""

    @property
    def identity(self) -> str:
        """Names the model and its version: vectors of different identities must never be compared."""
        ...

    def load(self) -> None:
        """Load the model. Raises ModelError."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, one a row."""
        ...

    def close(self) -> None:
        """Free the model. May be called twice."""
        ...


@runtime_checkable
class KnowledgeStore(Protocol):
    """Keeps passages with their vectors. Blocks; called from one worker thread."""

    def open(self, folder: Any, collection: str, identity: str) -> None:
        """Open or create a collection; `identity` is the embedder's. Raises KnowledgeError."""
        ...

    def digests(self) -> Mapping[str, str]:
        """The digest of every document that is wholly in it, by source."""
        ...

    def add(self, passages: Sequence[Passage], vectors: NDArray[np.float32]) -> None:
        """Add passages, or replace those of the same id."""
        ...

    def finish(self, source: str, digest: str) -> None:
        """All passages of this version of a document are in it now; those of other versions go."""
        ...

    def remove(self, source: str) -> None:
        """Forget a document."""
        ...

    def nearest(self, vector: NDArray[np.float32], count: int) -> Sequence[tuple[Passage, float]]:
        """The nearest passages with their cosine similarity, best first."""
        ...

    def passages(self) -> Sequence[Passage]:
        """Everything, for the search by word."""
        ...

    def close(self) -> None:
        """Let go of it. May be called twice."""
        ...
