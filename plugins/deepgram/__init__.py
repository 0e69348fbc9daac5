"""Speech to text by Deepgram, live: words while they are spoken, from its cloud or from a server of one's own."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from animacy.core.errors import PluginError
from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings

INSTALL = "pip install 'animacy[deepgram]'"


class DeepgramSettings(Settings):
    """What a recipe may say beside `plugin: deepgram`."""

    api_key: SecretStr = Field(description="as ${env:DEEPGRAM_API_KEY}")
    model: str = Field("nova-3", min_length=1, description="Deepgram's name for the model")
    language: str | None = Field(
        None, min_length=2, description='BCP 47 tag, or "multi"; the character\'s language when left out'
    )
    keyterms: tuple[str, ...] = Field((), max_length=100, description="names and terms to listen for")
    endpointing: int = Field(300, ge=10, le=10_000, description="milliseconds of silence after which words are final")
    smart_format: bool = Field(False, description="write numbers, dates and amounts as people do")
    mip_opt_out: bool = Field(False, description="keep recordings out of Deepgram's training")
    base_url: str = Field(
        "wss://api.deepgram.com", pattern=r"^(wss?|https?)://[^/@\s]+/?$", description="where the server is"
    )
    attempts: int = Field(6, ge=1, le=100, description="connections that may fail one after the other")
    kept_seconds: float = Field(15.0, ge=1, le=120, description="of sound that can be sent again on a new connection")


def _create(settings: DeepgramSettings, character: CharacterContext) -> Any:
    try:
        from animacy.plugins.deepgram.service import DeepgramSTT
    except ImportError as error:
        raise PluginError(f"plugin deepgram needs the deepgram-sdk package ({error})", INSTALL) from error

    return DeepgramSTT(settings, language=settings.language or character.language)


@hookimpl
def stt_providers() -> Provider:
    """Offer `plugin: deepgram`."""
    return Provider(
        "deepgram",
        DeepgramSettings,
        _create,
        summary="Deepgram, live over a WebSocket",
        extra="deepgram",
        keys=("DEEPGRAM_API_KEY",),
    )
