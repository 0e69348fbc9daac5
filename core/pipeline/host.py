"""Holds conversations for whoever comes: the models loaded once, a session for each visitor."""

from __future__ import annotations

import asyncio

from loguru import logger

from animacy.core.memory import give_back_memory
from animacy.core.pipeline.loading import Note, Products
from animacy.core.pipeline.metrics import Metrics
from animacy.core.pipeline.session import Session
from animacy.core.pipeline.telemetry import connect
from animacy.core.pipeline.transport import Transport
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import LoadedRecipe
from animacy.core.report import Report

GIVE_BACK_SECONDS = 30.0
"""Every answer frees tens of megabytes in pieces of all sizes, and what is not given back in between adds up."""


class Host:
    """One character for many visitors, `limits.sessions` of them at a time."""

    def __init__(self, loaded: LoadedRecipe, plugins: Plugins, note: Note = print) -> None:
        self.loaded = loaded
        self.metrics = Metrics(connect())
        self._plugins, self._note = plugins, note
        self._warm: Products | None = None
        self._sessions: dict[Session, asyncio.Task[Report]] = {}
        self._housekeeping: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether nobody else can be taken in now."""
        return len(self._sessions) >= self.loaded.recipe.limits.sessions

    async def start(self) -> None:
        """Load everything, telling of each step. Raises AnimacyError."""
        self._warm = Products(self.loaded, self._note)
        await self._warm.load()
        self._housekeeping = asyncio.create_task(self._keep_house(), name="housekeeping")

    async def converse(self, transport: Transport) -> Report:
        """Hold one conversation to its end. Raises AnimacyError when a part of it fails for good.

        The caller has seen that the host is not `full`. Cancelling ends the conversation properly.
        """
        session = Session(self.loaded, self._plugins, transport, note=logger.debug, metrics=self.metrics)
        task = asyncio.create_task(session.run(), name="session")
        self._sessions[session] = task
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            session.stop()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            del self._sessions[session]
            await asyncio.to_thread(give_back_memory)

    async def close(self) -> None:
        """End every conversation and free the models. May be called twice."""
        for session in self._sessions:
            session.stop()
        await asyncio.gather(*self._sessions.values(), return_exceptions=True)
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.gather(self._housekeeping, return_exceptions=True)
        warm, self._warm = self._warm, None
        if warm is not None:
            await warm.close()
        await asyncio.to_thread(self.metrics.close)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(GIVE_BACK_SECONDS)
            await asyncio.to_thread(give_back_memory)
