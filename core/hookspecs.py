"""The hooks a plugin may implement: one for each role.

A provider hook returns a Provider, or a list of them, or None. Keep the module that holds it cheap to import: the SDK
or the model belongs inside the provider's `create`.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer
from pluggy import HookimplMarker, HookspecMarker

from animacy.core.provider import Provider

hookspec = HookspecMarker("animacy")
hookimpl = HookimplMarker("animacy")

Providers = Provider | Sequence[Provider] | None


@hookspec
def stt_providers() -> Providers:
    """Speech to text: `create` returns a Pipecat STTService."""


@hookspec
def llm_providers() -> Providers:
    """Language model: `create` returns a Pipecat LLMService."""


@hookspec
def tts_providers() -> Providers:
    """Text to speech: `create` returns a Pipecat TTSService, best one that emits SpeechFrame with visemes."""


@hookspec
def video_providers() -> Providers:
    """Picture: `create` returns an animacy.core.video.contract.Renderer."""


@hookspec
def transport_providers() -> Providers:
    """Connection to the user: `create` returns an animacy.core.pipeline.transport.Transport."""


@hookspec
def embedding_providers() -> Providers:
    """Embeddings of text: `create` returns an animacy.core.knowledge.contract.Embedder."""


@hookspec
def knowledge_providers() -> Providers:
    """What the character knows: `create` returns an animacy.core.knowledge.contract.KnowledgeStore."""


@hookspec
def tool_providers() -> Providers:
    """What the character can do: `create` returns an animacy.core.tools.contract.ToolSource."""


@hookspec
def vision_providers() -> Providers:
    """What the character sees: `create` returns an animacy.core.vision.contract.Perception."""


@hookspec
def register_commands(app: typer.Typer) -> None:
    """Add commands to the `animacy` command line."""
