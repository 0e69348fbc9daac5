"""The real embedding model."""

import numpy as np
import pytest

from animacy.core.errors import ModelError
from animacy.core.knowledge.contract import Embedder
from animacy.core.models import LocalModel
from animacy.core.provider import CharacterContext
from animacy.plugins.minilm import embedding_providers
from animacy.plugins.minilm.embedder import MiniLM


@pytest.fixture(scope="module")
def embedder():
    provider = embedding_providers()
    made = provider.create(provider.settings(), CharacterContext("test"))
    made.load()
    yield made
    made.close()


def test_near_in_meaning_is_near_in_number(embedder):
    assert isinstance(embedder, Embedder)
    question, cafe, whale = embedder.embed(
        [
            "Where can I eat something?",
            "The cafe serves soup and cake.",
            "A whale hangs in the hall.",
        ]
    )
    assert question @ cafe > question @ whale + 0.1


def test_a_text_has_one_vector_whatever_comes_with_it(embedder):
    texts = [
        "word " * 1000,
        "A short text.",
        "",
        "日本語のテキスト",
        *(f"text number {number}" for number in range(20)),
    ]
    together = embedder.embed(texts)
    assert together.shape == (len(texts), 384)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    # int8 activations are scaled by batch, so padding changes a little.
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert (together * alone).sum(1).min() > 0.97


def test_a_damaged_model_is_an_error(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="does not load"):
        MiniLM(LocalModel(tmp_path), 1).load()
