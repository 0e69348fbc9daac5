"""A model of sentence-transformers as an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from animacy.core.errors import ModelError
from animacy.core.knowledge.contract import Vectors


class SentenceTransformers:
    """Implements `animacy.core.knowledge.contract.Embedder`.

    Parameters:
        model: folder, or repository on the hub.
        device: PyTorch's name of it; None for the best there is.
        prefix: put before every text.
        threads: compute threads of PyTorch on the CPU.
    """

    def __init__(self, model: str, device: str | None, prefix: str, threads: int) -> None:
        self._name, self._device, self._prefix, self._threads = model, device, prefix, threads
        self._model: Any = None

    @property
    def identity(self) -> str:
        """Names the model and what is put before texts."""
        return f"sentence-transformers {self._name} {self._prefix}".rstrip()

    def load(self) -> None:
        """Load the model, fetched by sentence-transformers if it is on the hub. Raises ModelError."""
        if self._model is not None:
            return
        try:
            import torch
            from sentence_transformers import SentenceTransformer

            torch.set_num_threads(self._threads)
            self._model = SentenceTransformer(self._name, device=self._device)
        except Exception as error:  # the hub, PyTorch and the model's own code may all fail
            raise ModelError(
                f"the embedding model {self._name} does not load: {type(error).__name__}: {error}",
                "Correct `knowledge.embedding.model`: a folder, or owner/name on the hub.",
            ) from error

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one a row."""
        if self._model is None:
            raise RuntimeError("the embedding model is not loaded")
        vectors: Vectors = self._model.encode(
            [self._prefix + text for text in texts], normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)

    def close(self) -> None:
        """Free the model. May be called twice."""
        self._model = None
