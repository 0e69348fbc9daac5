"""Embeddings of any model of sentence-transformers, with PyTorch."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from animacy.core.errors import PluginError
from animacy.core.hookspecs import hookimpl
from animacy.core.models import ModelSpec
from animacy.core.provider import CharacterContext, Provider, Settings

INSTALL = "pip install 'animacy[sentence-transformers]'"


class SentenceTransformersSettings(Settings):
    """What a recipe may say beside `plugin: sentence_transformers`."""

    model: ModelSpec = Field(
        "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
        description="a folder, or a repository on the Hugging Face hub",
    )
    device: str | None = Field(None, description='"cpu", "cuda", "mps"; the best there is')
    prefix: str = Field("", description="put before every text; some models want one")


def _create(settings: SentenceTransformersSettings, character: CharacterContext) -> Any:
    from importlib.util import find_spec

    if find_spec("sentence_transformers") is None:
        raise PluginError("embedding sentence_transformers needs a package that is not installed", INSTALL)
    from animacy.plugins.sentence_transformers.embedder import SentenceTransformers

    return SentenceTransformers(settings.model, settings.device, settings.prefix, character.threads)


@hookimpl
def embedding_providers() -> Provider:
    """Offer `embedding: sentence_transformers`."""
    return Provider(
        "sentence_transformers",
        SentenceTransformersSettings,
        _create,
        summary="Any model of sentence-transformers, for many languages",
        extra="sentence-transformers",
    )
