"""The `video_engine` renderer: a video diffusion transformer on a GPU draws the character, as its speech arrives."""

from __future__ import annotations

from typing import Any

import typer

from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider
from animacy.plugins.video_engine.settings import VideoEngineSettings


def _create(settings: VideoEngineSettings, character: CharacterContext) -> Any:
    from animacy.plugins.video_engine.renderer import VideoEngineRenderer

    return VideoEngineRenderer(settings, character.sessions, character.folder)


@hookimpl
def video_providers() -> Provider:
    """Offer `plugin: video_engine`."""
    return Provider(
        name="video_engine",
        settings=VideoEngineSettings,
        create=_create,
        summary="generates every frame on a GPU; needs weights",
        extra="engine",
    )


@hookimpl
def register_commands(app: typer.Typer) -> None:
    """Add `animacy engine` and `animacy bench`."""
    from animacy.plugins.video_engine.commands import bench_app, engine_app

    app.add_typer(engine_app, name="engine")
    app.add_typer(bench_app, name="bench")
