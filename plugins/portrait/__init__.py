"""The `portrait` renderer: a picture that talks, drawn in real time on one CPU core, for any face or figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from animacy.core.hookspecs import hookimpl
from animacy.core.models import Model
from animacy.core.provider import CharacterContext, Provider
from animacy.plugins.portrait.models import face_model, figure_model
from animacy.plugins.portrait.settings import PortraitSettings


def _create(settings: PortraitSettings, _: CharacterContext) -> Any:
    from animacy.plugins.portrait.renderer import PortraitRenderer, packaged_models

    return PortraitRenderer(settings, packaged_models)


def _models(_: PortraitSettings) -> Sequence[Model]:
    return (face_model(), figure_model())


@hookimpl
def video_providers() -> Provider:
    """One picture, one CPU core, no GPU."""
    return Provider(
        name="portrait",
        settings=PortraitSettings,
        create=_create,
        models=_models,
        summary="animates one picture on one CPU core; finds the face itself or takes anchors",
    )
