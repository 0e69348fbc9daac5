"""Language model on this machine: any GGUF file, run in this process by llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from animacy.core.hookspecs import hookimpl
from animacy.core.models import Model, ModelSpec, packaged_names, resolve
from animacy.core.provider import CharacterContext, Provider, Settings
from animacy.core.shared import Share

ASIDE_TOKENS = 512
"""Room for what is asked beside the conversation, beyond the instructions."""


class LlamaSettings(Settings):
    """What a recipe may say beside `plugin: llama`."""

    model: ModelSpec = Field("qwen2.5-coder-1.5b", description="packaged name, GGUF file, or owner/name:file.gguf")
    temperature: float = Field(0.4, ge=0, le=2, description="0 always takes the likeliest word")
    top_p: float = Field(0.9, gt=0, le=1, description="share of the likeliest words to choose from")
    seed: int | None = Field(None, ge=0, description="the same seed gives the same answers")
    max_sentences: int = Field(3, ge=1, description="an answer ends after so many")
    context_tokens: int = Field(2048, ge=512, description="persona, examples and conversation; the oldest turns go")
    threads: int | None = Field(None, ge=1, description="threads for writing; one less than the character allows")
    batch_threads: int | None = Field(None, ge=1, description="threads for reading; what the character allows")


def model_of(settings: LlamaSettings) -> Model:
    """The model these settings name. Raises ModelError when there is no such model."""
    return resolve(settings.model, packaged_names("llm"), patterns=("*.gguf",))


def _models(settings: LlamaSettings) -> Sequence[Model]:
    return (model_of(settings),)


def _create(settings: LlamaSettings, character: CharacterContext) -> Any:
    from animacy.core.llm.prompt import HELLO, cost, prompt_of
    from animacy.core.llm.service import CharacterLLM
    from animacy.plugins.llama.model import LlamaModel
    from animacy.plugins.llama.runtime import Runtime
    from animacy.plugins.llama.tools import instructions

    file = model_of(settings)
    # Two writing threads wait for each other at every layer: beside one other busy thread they come to a crawl.
    threads = settings.threads or max(1, character.threads - 1)
    batch_threads = settings.batch_threads or character.threads
    prompt = prompt_of(character, settings.context_tokens)
    choosing = instructions(character.tools) if character.tools else []

    def make() -> Runtime:
        aside = 2 * cost(choosing) + ASIDE_TOKENS if choosing else 0
        runtime = Runtime(file, settings.context_tokens, threads, batch_threads, character.sessions, aside)
        runtime.load()
        runtime.read([*prompt.prefix, HELLO])
        if choosing:
            runtime.read([*choosing, HELLO], slot=1)
        return runtime

    limits = (settings.context_tokens, threads, batch_threads, character.sessions)
    share = Share(("llama", settings.model, *limits, repr(prompt.prefix), repr(choosing)), make, Runtime.close)
    model = LlamaModel(
        share,
        file.name,
        prefix=len(prompt.prefix),
        instructions=choosing,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=settings.seed,
    )
    return CharacterLLM(model, prompt, character, max_sentences=settings.max_sentences)


@hookimpl
def llm_providers() -> Provider:
    """Offer `plugin: llama`."""
    return Provider("llama", LlamaSettings, _create, _models, "any GGUF language model on this machine (llama.cpp)")
