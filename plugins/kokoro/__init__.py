"""Text to speech on this machine: Kokoro-82M, with mouth shapes that are known before the sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from animacy.core.hookspecs import hookimpl
from animacy.core.models import Model, ModelSpec, resolve
from animacy.core.provider import CharacterContext, Provider, Settings
from animacy.core.shared import Share

PACKAGED = "kokoro-82m-int8"


class KokoroSettings(Settings):
    """What a recipe may say beside `plugin: kokoro`."""

    voice: str | None = Field(None, description="a bundled voice; the character's, else the language's usual one")
    speed: float = Field(1.0, ge=0.5, le=2.0, description="rate of speech; 1 is the voice's own")
    model: ModelSpec = Field(PACKAGED, description="packaged name, path of a Kokoro ONNX file, or hub file")
    threads: int | None = Field(None, ge=1, description="compute threads; what the character allows when left out")


def model_of(settings: KokoroSettings) -> Model:
    """The model these settings name. Raises ModelError when there is no such model."""
    return resolve(settings.model, (PACKAGED,), patterns=("*.onnx",))


def _models(settings: KokoroSettings) -> Sequence[Model]:
    return (model_of(settings),)


def _create(settings: KokoroSettings, character: CharacterContext) -> Any:
    from animacy.core.pipeline.voice import LocalTTS
    from animacy.plugins.kokoro.network import Network
    from animacy.plugins.kokoro.speaker import Speaker
    from animacy.plugins.kokoro.voices import find_voice

    model = model_of(settings)
    voice = find_voice(settings.voice or character.voice, character.language)
    threads = settings.threads or character.threads
    openings = tuple(character.openings)

    def make() -> Speaker:
        speaker = Speaker(Network(model, threads), voice, settings.speed, openings=openings)
        speaker.load()
        return speaker

    share = Share(("kokoro", settings, voice, threads, openings), make, Speaker.close)
    return LocalTTS(share, name="kokoro", model=model.name, voice=voice.name, language=voice.language)


@hookimpl
def tts_providers() -> Provider:
    """Offer `plugin: kokoro`."""
    return Provider(
        "kokoro", KokoroSettings, _create, _models, "Kokoro-82M on this machine, first sound after about 0.6 s"
    )
