"""The `file` transport: a recording is the microphone, a film is the room. Runs in real time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings


class FileSettings(Settings):
    """Settings of the `file` transport; `animacy run --input --output` fills the first two."""

    input: Annotated[Path | None, Field(description="The recording that serves as the microphone.")] = None
    output: Annotated[Path | None, Field(description="The film to write (.mp4, .mov or .mkv).")] = None
    greet: Annotated[bool, Field(description="Let the character speak its greeting before the recording starts.")] = (
        False
    )
    lead_in: Annotated[float, Field(ge=0, le=30, description="Seconds of silence before the recording.")] = 1.0
    tail: Annotated[float, Field(ge=0, le=30, description="Seconds of film after the last word.")] = 1.5
    patience: Annotated[
        float, Field(gt=0, le=300, description="Seconds to wait for an answer after the recording.")
    ] = 30.0
    user_track: Annotated[bool, Field(description="Keep the recording as a second audio track of the film.")] = True


def _create(settings: FileSettings, context: CharacterContext) -> object:
    from animacy.plugins.file.transport import FileTransport

    return FileTransport(settings, context)


@hookimpl
def transport_providers() -> Provider:
    """The `file` transport."""
    return Provider("file", FileSettings, _create, summary="A recording in, a film out")
