"""Embeddings on this machine: all-MiniLM-L6-v2, int8, without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from animacy.core.hookspecs import hookimpl
from animacy.core.models import Model, packaged
from animacy.core.provider import CharacterContext, Provider, Settings

MODEL = "all-minilm-l6-v2-int8"


class MiniLMSettings(Settings):
    """What a recipe may say beside `plugin: minilm`."""

    threads: int | None = Field(None, ge=1, description="compute threads; what the character allows, at most 2")


def _models(settings: MiniLMSettings) -> Sequence[Model]:
    return (packaged(MODEL),)


def _create(settings: MiniLMSettings, character: CharacterContext) -> Any:
    from animacy.plugins.minilm.embedder import MiniLM

    return MiniLM(packaged(MODEL), settings.threads or min(2, character.threads))


@hookimpl
def embedding_providers() -> Provider:
    """Offer `embedding: minilm`."""
    return Provider("minilm", MiniLMSettings, _create, _models, "all-MiniLM-L6-v2 on this machine, for English")
