"""What a plugin offers for one role, and what it is told when asked to make it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from animacy.core.models import Model
from animacy.core.tools.contract import Tool


class Settings(BaseModel):
    """Base of every plugin's settings: the keys a recipe may give beside `plugin`, anything else is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class CharacterContext:
    """What every provider may know of the character it works for.

    `language` is a BCP 47 tag ("en-US"); `voice` the recipe's `character.voice`; `persona` its text; `sample_rate` the
    rate of the character's voice in Hz; `input_sample_rate` that of the microphone; `threads` the most compute threads
    a local model of this provider should use; `sessions` how many visitors it talks with at a time.
    `folder` is the recipe's: relative paths start there. `tools` is what the character can do; only the llm is told.
    `unknown` is what it says when its documents do not hold an answer, None when it has no documents.
    """

    name: str
    language: str = "en-US"
    voice: str | None = None
    persona: str = ""
    examples: Sequence[tuple[str, str]] = ()
    openings: Sequence[str] = ()
    max_answer_tokens: int = 96
    sample_rate: int = 24_000
    input_sample_rate: int = 16_000
    threads: int = 2
    sessions: int = 1
    folder: Path = Path()
    tools: Sequence[Tool] = ()
    unknown: str | None = None


def no_models(_: Any) -> Sequence[Model]:
    """The default for providers that need no model files."""
    return ()


@dataclass(frozen=True, slots=True)
class Provider:
    """One named implementation of a role.

    Parameters:
        name: what a recipe writes after `plugin:`; lower case, unique within the role.
        settings: the Settings subclass whose fields a recipe may give.
        create: makes the product, given validated settings and the character. It must not block the event loop for
            long: what is heavy belongs into an async `load()` of the product, which is awaited before a conversation
            starts. Raise PluginError with the exact install line when an optional package is missing, ModelError when a
            model does not load.
        models: the model files these settings need, so that they can be fetched and checked beforehand.
        summary: one line for `animacy plugins`.
        extra: the extra of the plugin's own package that it cannot do without, so that `animacy plugins` can tell
            whether that is installed.
        keys: environment variables that a recipe's secrets are usually taken from, when it cannot do without them.
    """

    name: str
    settings: type[Settings]
    create: Callable[[Any, CharacterContext], Any]
    models: Callable[[Any], Sequence[Model]] = field(default=no_models)
    summary: str = ""
    extra: str | None = None
    keys: Sequence[str] = ()
