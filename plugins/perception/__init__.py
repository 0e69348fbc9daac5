"""Sees on this machine, without a network: people, hands, things, colours, text; of a camera or a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from animacy.core.hookspecs import hookimpl
from animacy.core.models import Model, packaged
from animacy.core.provider import CharacterContext, Provider, Settings


class PerceptionSettings(Settings):
    """What a recipe may say beside `plugin: perception`."""

    text: bool = Field(True, description="read text in pictures; without it a camera's look costs half")
    max_lines: int = Field(60, ge=1, le=200, description="pieces of text read in one look at most; the rest is counted")
    threads: int | None = Field(None, ge=1, description="compute threads; what the character allows when left out")


def _models(settings: PerceptionSettings) -> Sequence[Model]:
    names = ["face-landmarker", "hand-landmarker", "efficientnet-lite0"]
    return [packaged(name) for name in [*names, *(["pp-ocrv6-small"] if settings.text else [])]]


def _create(settings: PerceptionSettings, character: CharacterContext) -> Any:
    from animacy.plugins.perception.perception import LocalPerception

    return LocalPerception(settings.threads or character.threads, settings.text, settings.max_lines)


@hookimpl
def vision_providers() -> Provider:
    """Offer `plugin: perception`."""
    return Provider(
        "perception", PerceptionSettings, _create, _models, "People, hands, things, colours and text, on this machine"
    )
