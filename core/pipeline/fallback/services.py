"""Makes the service of a role, or one that holds all of a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from animacy.core.pipeline.fallback.hearing import Hearing
from animacy.core.pipeline.fallback.speaking import Speaking
from animacy.core.pipeline.fallback.switch import Fallback
from animacy.core.pipeline.fallback.thinking import Thinking
from animacy.core.pipeline.fallback.work import Work
from animacy.core.plugins import Role
from animacy.core.recipe_loader import LoadedRecipe
from animacy.core.tools.contract import Tool

WORK: Mapping[Role, Callable[[], Work]] = {"stt": Hearing, "llm": Thinking, "tts": Speaking}


def service_of(loaded: LoadedRecipe, role: Role, *, tools: Sequence[Tool] = ()) -> Any:
    """What does a role's work in a pipeline. Raises AnimacyError when it cannot be made."""
    chain = loaded.chain(role)
    if len(chain) == 1:
        return loaded.create(chain[0], tools=tools)
    services = [(choice.provider.name, loaded.create(choice, tools=tools)) for choice in chain]
    return Fallback(role, services, WORK[role](), loaded.recipe.fallback)
