"""Text to speech by Cartesia, live: sound, words and mouth shapes as they are made."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import Field, SecretStr

from animacy.core.errors import PluginError, RecipeError
from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings

INSTALL = "pip install 'animacy[cartesia]'"


class CartesiaSettings(Settings):
    """What a recipe may say beside `plugin: cartesia`."""

    api_key: SecretStr = Field(description="as ${env:CARTESIA_API_KEY}")
    voice: str | None = Field(None, min_length=1, description="id of a voice; the character's when left out")
    model: str = Field("sonic-3.5", min_length=1, description="Cartesia's name for the model")
    language: str | None = Field(None, min_length=2, description="BCP 47 tag; the character's when left out")
    speed: float | None = Field(None, ge=0.6, le=1.5, description="rate of speech; the voice's own when left out")
    volume: float | None = Field(None, ge=0.5, le=2.0, description="loudness; the voice's own when left out")
    emotion: str | None = Field(None, min_length=1, description='such as "content" or "excited"')
    visemes: bool = Field(True, description="ask for the times of phonemes, which move the mouth")
    base_url: str = Field(
        "https://api.cartesia.ai", pattern=r"^https?://[^/@\s]+/?$", description="where the server is"
    )
    attempts: int = Field(6, ge=1, le=100, description="connections that may fail one after the other")


def _create(settings: CartesiaSettings, character: CharacterContext) -> Any:
    try:
        from animacy.plugins.cartesia.service import CartesiaTTS
    except ImportError as error:
        raise PluginError(f"plugin cartesia needs the cartesia package ({error})", INSTALL) from error

    voice = settings.voice or character.voice
    if voice is None:
        raise RecipeError(
            "plugin cartesia needs a voice", "Set tts.voice to an id that `animacy cartesia voices` lists."
        )
    return CartesiaTTS(settings, voice=voice, language=settings.language or character.language)


@hookimpl
def tts_providers() -> Provider:
    """Offer `plugin: cartesia`."""
    return Provider(
        "cartesia",
        CartesiaSettings,
        _create,
        summary="Cartesia, live over a WebSocket",
        extra="cartesia",
        keys=("CARTESIA_API_KEY",),
    )


@hookimpl
def register_commands(app: typer.Typer) -> None:
    """Add `animacy cartesia`."""
    from animacy.plugins.cartesia.commands import cartesia_app

    app.add_typer(cartesia_app, name="cartesia")
