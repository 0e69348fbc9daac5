"""A LangChain Embeddings object as an embedder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from animacy.core.allowed import allowed_module
from animacy.core.errors import KnowledgeError, PluginError
from animacy.core.knowledge.contract import Vectors


class LangChainEmbedder:
    """Implements `animacy.core.knowledge.contract.Embedder`.

    Parameters:
        where: "module:Class"; the module must be one that the operator allowed.
        options: the class's arguments.
    """

    def __init__(self, where: str, options: Mapping[str, Any]) -> None:
        self._where, self._options = where, dict(options)
        self._model: Any = None

    @property
    def identity(self) -> str:
        """Names the class, and its options by a hash: they may hold secrets."""
        options = json.dumps(self._options, sort_keys=True, default=str)
        return f"langchain {self._where} {hashlib.sha256(options.encode()).hexdigest()[:12]}"

    def load(self) -> None:
        """Import and make it. Raises PluginError when it is not allowed, missing, or refuses its options."""
        if self._model is not None:
            return
        module_name, _, class_name = self._where.partition(":")
        made = getattr(allowed_module(module_name), class_name, None)
        if not isinstance(made, type) or not callable(getattr(made, "embed_documents", None)):
            raise PluginError(f"{self._where} is no LangChain Embeddings class", "Name one derived from Embeddings.")
        try:
            self._model = made(**self._options)
        except Exception as error:  # whatever a third party's constructor raises, its options are not repeated
            raise PluginError(
                f"{self._where} does not accept its options: {type(error).__name__}", "See the class's documentation."
            ) from error

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one a row. Raises KnowledgeError when the service fails."""
        if self._model is None:
            raise RuntimeError("the embedding model is not loaded")
        try:
            vectors = np.asarray(self._model.embed_documents(list(texts)), np.float32)
        except Exception as error:  # every service has errors of its own
            raise KnowledgeError(
                f"{self._where} failed: {type(error).__name__}: {error}", "Check its service and its key."
            ) from error
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise KnowledgeError(f"{self._where} gave no vector for each text", "Use another class.")
        unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit

    def close(self) -> None:
        """Let go of it. May be called twice."""
        self._model = None
