"""A Daily room as the place to talk with the character, which joins as a participant with camera and microphone."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr, model_validator

from animacy.core.errors import PluginError
from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings

INSTALL = "pip install 'animacy[daily]'"


class DailySettings(Settings):
    """What a recipe may say beside `plugin: daily`."""

    room: str | None = Field(
        None, pattern=r"^https?://[^/@\s]+/[^/\s?#]+$", description="address of a room; a new one is made when left out"
    )
    api_key: SecretStr | None = Field(
        None, description="as ${env:DAILY_API_KEY}; makes rooms and tokens, and is not needed for a public room"
    )
    token: SecretStr | None = Field(None, description="a meeting token; made with the key when left out")
    room_seconds: float = Field(3600.0, ge=60, le=86_400, description="after which a room made here ends")
    join_seconds: float = Field(20.0, ge=1, le=120, description="after which joining is given up")
    transcription: bool = Field(False, description="let Daily transcribe, and pass its lines on as messages")
    base_url: str = Field("https://api.daily.co/v1", pattern=r"^https?://[^@\s]+$", description="of the REST API")

    @model_validator(mode="after")
    def _room_or_key(self) -> DailySettings:
        if self.room is None and self.api_key is None:
            raise ValueError("needs `room`, or an `api_key` to make one")
        return self


def _create(settings: DailySettings, character: CharacterContext) -> Any:
    try:
        from animacy.plugins.daily.transport import DailyTransport
    except ImportError as error:
        raise PluginError(f"plugin daily needs the daily-python package ({error})", INSTALL) from error

    return DailyTransport(settings, character)


@hookimpl
def transport_providers() -> Provider:
    """Offer `plugin: daily`."""
    return Provider("daily", DailySettings, _create, summary="A Daily room, which the character joins", extra="daily")
