"""Any chat model of LangChain: `plugin: langchain, model: "langchain_anthropic:ChatAnthropic"`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from animacy.core.errors import PluginError
from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings

INSTALL = "pip install 'animacy[langchain]'"


class LangChainSettings(Settings):
    """What a recipe may say beside `plugin: langchain`."""

    model: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description='module and class of a BaseChatModel, "langchain_openai:ChatOpenAI"; its module must be allowed',
    )
    options: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="arguments of the class; secrets as ${env:NAME}"
    )
    context_tokens: int = Field(16_000, ge=512, description="persona, examples and conversation; the oldest turns go")
    max_sentences: int = Field(4, ge=1, description="an answer ends after so many")
    tools: bool = Field(True, description="whether the model can call tools")


def _create(settings: LangChainSettings, character: CharacterContext) -> Any:
    try:
        from animacy.plugins.langchain.model import LangChainModel
    except ImportError as error:
        raise PluginError(f"plugin langchain needs langchain-core ({error})", INSTALL) from error
    from animacy.core.llm.prompt import SPOKEN, prompt_of
    from animacy.core.llm.service import CharacterLLM

    more = SPOKEN.format(language=character.language)
    prompt = prompt_of(character, settings.context_tokens, more=more, as_text=False)
    model = LangChainModel(settings.model, settings.options, calls_tools=settings.tools)
    return CharacterLLM(model, prompt, character, max_sentences=settings.max_sentences)


@hookimpl
def llm_providers() -> Provider:
    """Offer `plugin: langchain`."""
    return Provider("langchain", LangChainSettings, _create, summary="any LangChain chat model", extra="langchain")
