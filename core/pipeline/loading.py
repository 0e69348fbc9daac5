"""Makes and loads what a recipe's plugins offer, and lets go of it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

from animacy.core.plugins import Role
from animacy.core.recipe_loader import LoadedRecipe
from animacy.core.video.contract import Renderer

Note = Callable[[str], None]


@runtime_checkable
class Loadable(Protocol):
    """A product that has something heavy to load. It is awaited before a conversation starts."""

    async def load(self) -> None:
        """Load and warm up, off the event loop. Raises AnimacyError with a remedy."""
        ...


class Products:
    """Hearing, thinking, speaking and drawing for one conversation.

    A server holds one set that it never uses, so that what plugins share stays loaded between conversations.
    """

    def __init__(self, loaded: LoadedRecipe, note: Note) -> None:
        self.seconds: dict[str, float] = {}
        self._loaded, self._note = loaded, note
        self.stt, self.llm, self.tts = (loaded.create(role) for role in ("stt", "llm", "tts"))
        self.renderer: Renderer = loaded.create("video")

    async def load(self) -> None:
        """Load everything, one after the other. Raises AnimacyError."""
        video = self._loaded.recipe.video.video_format()
        await self._timed("video", self.renderer.start(self._loaded.portrait, video))
        services: tuple[tuple[Role, Any], ...] = (("stt", self.stt), ("llm", self.llm), ("tts", self.tts))
        for role, service in services:
            if isinstance(service, Loadable):
                await self._timed(role, service.load())

    async def close(self) -> None:
        """Let go of everything that was loaded and never ran in a pipeline."""
        services = (service.cleanup() for service in (self.stt, self.llm, self.tts))
        await asyncio.gather(self.renderer.close(), *services, return_exceptions=True)

    async def _timed(self, role: Role, loading: Awaitable[None]) -> None:
        name = self._loaded.chosen[role].provider.name
        self._note(f"{role}: loading {name} ...")
        began = time.monotonic()
        await loading
        seconds = time.monotonic() - began
        self.seconds[role] = round(seconds, 3)
        self._note(f"{role}: {name} ready in {seconds:.1f} s")
