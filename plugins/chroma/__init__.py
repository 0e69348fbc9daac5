"""Keeps what a character knows in Chroma: on this machine, or on a Chroma server."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr, field_validator

from animacy.core.errors import PluginError
from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings

INSTALL = "pip install 'animacy[knowledge]'"


class ChromaSettings(Settings):
    """What a recipe may say beside `plugin: chroma`."""

    url: str | None = Field(None, description="of a Chroma server, http(s)://host[:port]; without it, on this machine")
    token: SecretStr | None = Field(None, description="sent as a bearer token; write ${env:NAME}")
    collection: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{1,46}[a-zA-Z0-9]$",
        description="name of the collection; made of the character's name and its recipe's path when left out",
    )

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        from urllib.parse import urlsplit

        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise ValueError("must be http://host:port or https://host:port")
            _ = parts.port  # raises ValueError for what is no port
        return url


def _create(settings: ChromaSettings, character: CharacterContext) -> Any:
    from importlib.util import find_spec

    if find_spec("chromadb") is None:
        raise PluginError("knowledge needs the package chromadb, which is not installed", INSTALL)
    from animacy.plugins.chroma.store import ChromaStore

    token = settings.token.get_secret_value() if settings.token is not None else None
    return ChromaStore(settings.url, token, settings.collection)


@hookimpl
def knowledge_providers() -> Provider:
    """Offer `knowledge: chroma`."""
    return Provider("chroma", ChromaSettings, _create, summary="Chroma, on this machine or a server", extra="knowledge")
