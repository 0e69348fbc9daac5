"""The model in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from animacy.core.errors import ModelError
from animacy.core.knowledge.contract import Vectors
from animacy.core.models import Model

if TYPE_CHECKING:
    import onnxruntime
    import tokenizers

MAX_TOKENS = 256
"""What the model was trained for; of a longer text the rest does not count."""
BATCH = 16
"""Texts at a time: more only needs more memory."""


class MiniLM:
    """Implements `animacy.core.knowledge.contract.Embedder`; vectors have 384 numbers.

    Parameters:
        model: the packaged model.
        threads: compute threads.
    """

    def __init__(self, model: Model, threads: int) -> None:
        self._model, self._threads = model, threads
        self._session: onnxruntime.InferenceSession | None = None
        self._tokenizer: tokenizers.Tokenizer | None = None

    @property
    def identity(self) -> str:
        """Names the model."""
        return self._model.name

    def load(self) -> None:
        """Fetch and load the model; does nothing the second time. Raises ModelError."""
        if self._session is not None:
            return
        import onnxruntime
        import tokenizers

        folder = self._model.ensure()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # A spinning pool would take the cores from hearing and speaking after each question.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # both libraries raise types of their own, all below Exception
            raise ModelError(
                f"the embedding model does not load: {error}", "Run `animacy doctor RECIPE --fetch`."
            ) from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (len(texts), 384). Raises RuntimeError before `load`."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # so that little is computed for padding
        vectors = np.empty((len(texts), 0), np.float32)
        for start in range(0, len(order), BATCH):
            at = order[start : start + BATCH]
            part = self._embed_batch([texts[place] for place in at])
            if not start:
                vectors = np.empty((len(texts), part.shape[1]), np.float32)
            vectors[at] = part
        return vectors

    def close(self) -> None:
        """Free the model. May be called twice."""
        self._session = self._tokenizer = None

    def _embed_batch(self, texts: Sequence[str]) -> Vectors:
        if self._session is None or self._tokenizer is None:
            raise RuntimeError("the embedding model is not loaded")
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([item.ids for item in encoded], np.int64)
        mask = np.array([item.attention_mask for item in encoded], np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {entry.name for entry in self._session.get_inputs()}
        tokens = self._session.run(None, {name: feeds[name] for name in wanted})[0]
        weight = mask[..., None].astype(np.float32)
        mean = (tokens * weight).sum(1) / np.maximum(weight.sum(1), 1e-9)
        vectors: Vectors = (mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)).astype(np.float32)
        return vectors
