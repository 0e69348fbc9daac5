"""Speech to text on this machine: Whisper through CTranslate2, without the pad to 30 seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from animacy.core.hookspecs import hookimpl
from animacy.core.models import Model, ModelSpec, packaged_names, resolve
from animacy.core.provider import CharacterContext, Provider, Settings
from animacy.core.shared import Share

_FILES = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")


class WhisperSettings(Settings):
    """What a recipe may say beside `plugin: whisper`."""

    model: ModelSpec = Field("whisper-base", description="packaged name, CTranslate2 folder, or owner/name on the hub")
    language: str | None = Field(None, description="BCP 47 tag; the character's language when left out")
    no_speech: float = Field(0.55, ge=0, le=1, description="a segment whose no-speech probability is above is dropped")
    min_score: float = Field(-1.3, le=0, description="a segment whose mean log probability is below is dropped")
    threads: int | None = Field(None, ge=1, description="compute threads; what the character allows when left out")


def model_of(settings: WhisperSettings) -> Model:
    """The model these settings name. Raises ModelError when there is no such model."""
    return resolve(settings.model, packaged_names("stt"), patterns=_FILES)


def _models(settings: WhisperSettings) -> Sequence[Model]:
    return (model_of(settings),)


def _create(settings: WhisperSettings, character: CharacterContext) -> Any:
    from animacy.plugins.whisper.recogniser import Recogniser
    from animacy.plugins.whisper.service import WhisperSTT

    model = model_of(settings)
    language = settings.language or character.language
    threads = settings.threads or character.threads

    def make() -> Recogniser:
        recogniser = Recogniser(model, language, threads, settings.no_speech, settings.min_score)
        recogniser.load()
        return recogniser

    share = Share(("whisper", settings, language, threads), make, Recogniser.close)
    return WhisperSTT(share, model=model.name, language=language)


@hookimpl
def stt_providers() -> Provider:
    """Offer `plugin: whisper`."""
    return Provider(
        "whisper", WhisperSettings, _create, _models, "Whisper on this machine, about 0.3 s after a sentence"
    )
