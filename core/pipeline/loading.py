"""Makes and loads what a recipe's plugins offer, and lets go of it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

from animacy.core.knowledge.knowledge import knowledge_of
from animacy.core.pipeline.fallback import service_of
from animacy.core.plugins import Role
from animacy.core.recipe_loader import LoadedRecipe
from animacy.core.tools.registry import Tell, Toolbox, no_client
from animacy.core.video.contract import Renderer
from animacy.core.vision.sight import Sight

Note = Callable[[str], None]


@runtime_checkable
class Loadable(Protocol):
    """A product that has something heavy to load. It is awaited before a conversation starts."""

    async def load(self) -> None:
        """Load and warm up, off the event loop. Raises AnimacyError with a remedy."""
        ...


class Products:
    """Hearing, thinking, speaking and drawing for one conversation, and what it knows, sees and can do.

    A server holds one set that it never uses, so that what plugins share stays loaded between conversations.

    Parameters:
        loaded: what to make.
        note: told of every step.
        tell: sends a tool's message to the visitor's client.
    """

    def __init__(self, loaded: LoadedRecipe, note: Note, tell: Tell = no_client) -> None:
        self.seconds: dict[str, float] = {}
        self._loaded, self._note = loaded, note
        self.stt, self.tts = service_of(loaded, "stt"), service_of(loaded, "tts")
        self.renderer: Renderer = loaded.create("video")
        self.llm: Any = None
        self.toolbox = Toolbox.of(loaded, tell=tell) if loaded.tools else None
        self.knowledge = knowledge_of(loaded)
        self.sight = Sight(loaded) if "vision" in loaded.chosen else None

    async def load(self) -> None:
        """Load everything, one after the other. Raises AnimacyError."""
        video = self._loaded.recipe.video.video_format()
        await self._timed("video", self.renderer.start(self._loaded.portrait, video))
        if self.toolbox is not None:
            await self.toolbox.load()
            for problem in self.toolbox.problems:
                self._note(f"warning: {problem}")
        if self.knowledge is not None:
            await self._timed("knowledge", self.knowledge.load(self._note))
        if self.sight is not None:
            await self._timed("vision", self.sight.load())
        # The tools are part of what the model has read before anybody speaks.
        self.llm = service_of(self._loaded, "llm", tools=self.toolbox.tools if self.toolbox is not None else ())
        services: tuple[tuple[Role, Any], ...] = (("stt", self.stt), ("llm", self.llm), ("tts", self.tts))
        for role, service in services:
            if isinstance(service, Loadable):
                await self._timed(role, service.load())
            for problem in getattr(service, "problems", ()):
                self._note(f"warning: {problem}")

    async def close(self) -> None:
        """Let go of everything that was loaded and never ran in a pipeline."""
        services = (service.cleanup() for service in (self.stt, self.llm, self.tts) if service is not None)
        await asyncio.gather(self.renderer.close(), self.close_beside(), *services, return_exceptions=True)

    async def close_beside(self) -> None:
        """Let go of what no pipeline ends: tools, knowledge, sight. May be called twice."""
        if self.toolbox is not None:
            await self.toolbox.close()
        if self.knowledge is not None:
            await self.knowledge.close()
        if self.sight is not None:
            self.sight.close()

    async def _timed(self, role: Role, loading: Awaitable[None]) -> None:
        name = ", ".join(choice.provider.name for choice in self._loaded.chain(role))
        self._note(f"{role}: loading {name} ...")
        began = time.monotonic()
        await loading
        seconds = time.monotonic() - began
        self.seconds[role] = round(seconds, 3)
        self._note(f"{role}: {name} ready in {seconds:.1f} s")
