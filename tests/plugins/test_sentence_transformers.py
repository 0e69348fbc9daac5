"""A model of sentence-transformers, tiny and without any training, through the kit that every plugin is held to."""

from __future__ import annotations

import pytest

from animacy.testing import check

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "word", "the", "cafe", "whale", "a", "in", "hall"]


@pytest.fixture
def model(tmp_path):
    pytest.importorskip("sentence_transformers", reason="pip install 'animacy[sentence-transformers]'")
    from transformers import BertConfig, BertModel, BertTokenizer

    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    bert = tmp_path / "bert"
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(bert)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(bert)
    return bert


def test_it_does_what_embedders_do(model, plugins):
    settings = {"model": str(model), "device": "cpu"}
    check("embedding", "sentence_transformers", settings, plugins).raise_if_failed()
