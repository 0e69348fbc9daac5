"""Any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, LM Studio, llama.cpp's own, and many more."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from animacy.core.errors import PluginError
from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings

INSTALL = "pip install 'animacy[openai]'"


class OpenAICompatibleSettings(Settings):
    """What a recipe may say beside `plugin: openai_compatible`."""

    model: str = Field(min_length=1, description="the server's name for the model")
    base_url: str = Field("https://api.openai.com/v1", pattern=r"^https?://", description="where the server is")
    api_key: SecretStr = Field(SecretStr("none"), description="as ${env:NAME}; most local servers want none")
    temperature: float | None = Field(None, ge=0, le=2, description="the server's default when left out")
    timeout: float = Field(20.0, gt=0, le=300, description="seconds without a word after which an answer is given up")
    context_tokens: int = Field(16_000, ge=512, description="persona, examples and conversation; the oldest turns go")
    max_sentences: int = Field(4, ge=1, description="an answer ends after so many")
    tools: bool = Field(True, description="whether the model can call tools")


def _create(settings: OpenAICompatibleSettings, character: CharacterContext) -> Any:
    try:
        from animacy.plugins.openai_compatible.model import OpenAIModel
    except ImportError as error:
        raise PluginError(f"plugin openai_compatible needs the openai package ({error})", INSTALL) from error
    from animacy.core.llm.prompt import SPOKEN, prompt_of
    from animacy.core.llm.service import CharacterLLM

    more = SPOKEN.format(language=character.language)
    prompt = prompt_of(character, settings.context_tokens, more=more, as_text=False)
    model = OpenAIModel(
        settings.model,
        settings.base_url,
        settings.api_key.get_secret_value(),
        temperature=settings.temperature,
        timeout=settings.timeout,
        calls_tools=settings.tools,
    )
    return CharacterLLM(model, prompt, character, max_sentences=settings.max_sentences)


@hookimpl
def llm_providers() -> Provider:
    """Offer `plugin: openai_compatible`."""
    return Provider(
        "openai_compatible",
        OpenAICompatibleSettings,
        _create,
        summary="any server with OpenAI's chat completions",
        extra="openai",
    )
