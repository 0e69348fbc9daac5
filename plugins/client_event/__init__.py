"""A tool that tells the visitor's page something: show a caption, deal a card, change the state of a game."""

from __future__ import annotations

from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider
from animacy.core.tools.contract import Call, Tool
from animacy.core.tools.settings import NamedToolSettings

MESSAGE = "client-event"
"""Type of the message that the page gets."""


class ClientEventSettings(NamedToolSettings):
    """What a recipe may say beside `plugin: client_event`."""


class ClientEvents:
    """One event as a tool source."""

    def __init__(self, settings: ClientEventSettings) -> None:
        self._settings = settings

    async def load(self) -> list[Tool]:
        """The event's tool."""
        return [self._settings.tool(_send)]

    async def close(self) -> None:
        """Nothing is held."""


async def _send(call: Call) -> None:
    await call.tell(MESSAGE, {"name": call.tool, "arguments": dict(call.arguments), "call": call.id})


def _create(settings: ClientEventSettings, character: CharacterContext) -> ClientEvents:
    return ClientEvents(settings)


@hookimpl
def tool_providers() -> Provider:
    """Offer `plugin: client_event`."""
    return Provider("client_event", ClientEventSettings, _create, summary="A typed message to the visitor's page")
