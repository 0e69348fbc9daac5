"""Text to speech on this machine by Piper: the lightest voice, in any of its languages, with mouth shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from animacy.core.errors import ModelError, PluginError
from animacy.core.hookspecs import hookimpl
from animacy.core.models import HubModel, LocalModel, Model, ModelSpec, resolve
from animacy.core.provider import CharacterContext, Provider, Settings
from animacy.core.shared import Share

INSTALL = "pip install 'animacy[piper]'"
PACKAGED = "piper-joe-medium"


class PiperSettings(Settings):
    """What a recipe may say beside `plugin: piper`."""

    model: ModelSpec = Field(PACKAGED, description="packaged name, path of a Piper .onnx file, or hub file")
    voice: str | None = Field(
        None,
        min_length=1,
        description="a speaker of the model, by name or number; the character's if it has that",
    )
    speed: float = Field(1.0, ge=0.5, le=2.0, description="rate of speech; 1 is the voice's own")
    sentence_pause: float = Field(0.26, ge=0.0, le=2.0, description="seconds of silence after a sentence")
    threads: int | None = Field(None, ge=1, description="compute threads; what the character allows when left out")


def models_of(settings: PiperSettings) -> tuple[Model, Model | None]:
    """The voice that these settings name, and the model that its .onnx.json is, where that is not part of it.

    Raises ModelError when there is no such voice.
    """
    try:
        model = resolve(settings.model, (PACKAGED,))
    except ModelError as error:
        raise ModelError(f"tts.model: {error.args[0]}", error.remedy) from error
    if isinstance(model, LocalModel):
        return model, LocalModel(model.path().with_name(f"{model.path().name}.json"))
    if isinstance(model, HubModel):
        if not model.file:
            raise ModelError(
                f"tts.model: {settings.model} does not say which voice", f"Name its file: {settings.model}:NAME.onnx"
            )
        return model, HubModel(model.repo, f"{model.file}.json", model.revision)
    return model, None


def _models(settings: PiperSettings) -> Sequence[Model]:
    return tuple(model for model in models_of(settings) if model is not None)


def _create(settings: PiperSettings, character: CharacterContext) -> Any:
    try:
        from animacy.plugins.piper.speaker import PiperSpeaker
    except ImportError as error:
        raise PluginError(f"plugin piper needs the piper-tts package ({error})", INSTALL) from error
    from animacy.core.pipeline.voice import LocalTTS
    from animacy.plugins.piper.voice import Voice

    model, config = models_of(settings)
    threads = settings.threads or character.threads
    voice, language = settings.voice or character.voice, character.language

    def make() -> PiperSpeaker:
        loaded = Voice.load(model, config, threads=threads, language=language)
        # The character's voice may be meant for another voice of its list, which this one takes over from.
        number = loaded.speaker(settings.voice) if settings.voice else loaded.find(character.voice or "")
        return PiperSpeaker(loaded, number, settings.speed, settings.sentence_pause)

    share = Share(("piper", settings, voice, language, threads), make, PiperSpeaker.close)
    return LocalTTS(share, name="piper", model=model.name, voice=voice, language=language)


@hookimpl
def tts_providers() -> Provider:
    """Offer `plugin: piper`."""
    return Provider("piper", PiperSettings, _create, _models, "Piper on this machine, light on the processor")
