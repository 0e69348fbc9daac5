"""Embeddings of any class derived from LangChain's Embeddings."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings


class LangChainEmbeddingsSettings(Settings):
    """What a recipe may say beside `plugin: langchain` in `embedding`."""

    model: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description='module and class, "langchain_openai:OpenAIEmbeddings"; the module must be allowed',
    )
    options: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="arguments of the class; secrets as ${env:NAME}"
    )


def _create(settings: LangChainEmbeddingsSettings, character: CharacterContext) -> Any:
    from animacy.plugins.langchain_embeddings.embedder import LangChainEmbedder

    return LangChainEmbedder(settings.model, settings.options)


@hookimpl
def embedding_providers() -> Provider:
    """Offer `embedding: langchain`."""
    return Provider("langchain", LangChainEmbeddingsSettings, _create, summary="Any LangChain Embeddings class")
