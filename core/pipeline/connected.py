"""Services that are connected to a server on the network, and connect again when that breaks."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from pipecat.frames.frames import CancelFrame, EndFrame
from pipecat.services.ai_service import AIService

from animacy.core.pipeline.remote import RemoteError
from animacy.core.shared import Share

STABLE_SECONDS = 5.0
"""A connection that lasted so long was a good one: the attempts are counted anew."""

T = TypeVar("T")

Told = Callable[[str, RemoteError], Awaitable[None]]
"""Takes what to tell of something that failed and is tried again."""


class Explaining(Protocol):
    """Knows what the errors of its connections mean."""

    def explain(self, error: BaseException) -> RemoteError:
        """Why no connection was made."""
        ...

    def explain_end(self, error: BaseException | None) -> RemoteError:
        """Why a connection that was open ended; None when it was closed in good order."""
        ...


async def stay_connected(
    server: Explaining,
    connect: Callable[[], AbstractAsyncContextManager[T]],
    converse: Callable[[T], Awaitable[None]],
    told: Told,
    *,
    attempts: int,
    idle: Callable[[], bool] = lambda: False,
) -> None:
    """Connect, converse until the connection ends, and begin again, until cancelled.

    Raises RemoteError when it is of no use to try again, or `attempts` connections failed in a row. A connection that
    ends while the service is `idle` did not fail.
    """
    counted = Attempts(attempts)
    while True:
        since: float | None = None
        error: BaseException | None = None
        try:
            async with connect() as connection:
                since = time.monotonic()
                await converse(connection)
        except RemoteError:
            raise
        except Exception as failure:  # the SDKs and the libraries below them raise whatever a network leads to
            error = failure
        lasted = 0.0 if since is None else time.monotonic() - since
        if lasted >= STABLE_SECONDS and idle():
            continue
        trouble = server.explain(error or ConnectionError()) if since is None else server.explain_end(error)
        seconds = counted.wait_after(trouble, lasted)
        await told(f"{trouble.args[0]}; trying again in {seconds:.3g} s", trouble)
        await asyncio.sleep(seconds)


class Attempts:
    """Counts the connections that failed in a row, and says when to try the next.

    Parameters:
        most: after so many it is given up.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._failed = 0

    def wait_after(self, trouble: RemoteError, lasted: float = 0.0) -> float:
        """Seconds until the next attempt: as long as the service asks, else twice as long each time, from 0.25 to 8 s.

        Raises `trouble` when there should be none. `lasted` is how long the connection stood, 0 if it never did.
        """
        self._failed = 1 if lasted >= STABLE_SECONDS else self._failed + 1
        if trouble.lasts or self._failed >= self._most:
            raise trouble
        if trouble.retry_after is not None:
            return trouble.retry_after
        return min(8.0, 0.25 * 2.0 ** min(self._failed - 1, 16))


class Connected(AIService):
    """What a service with a connection has in common; stands before its other base.

    Parameters:
        key: equal for all services that connect to the same server with the same settings; begins with the plugin.
        check: sees whether the server lets one in, once for all of these. Blocks; raises RemoteError.
    """

    def __init__(self, *, key: tuple[Hashable, ...], check: Callable[[], None], **more: Any) -> None:
        super().__init__(**more)
        self._check, self._checked = check, Share(key, check)
        self._running: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """See whether the server is there and takes the key and the settings. Raises RemoteError."""
        await self._checked.load()

    async def stop(self, frame: EndFrame) -> None:
        """Hang up, after all that was still to be done."""
        await super().stop(frame)
        await self._hang_up()

    async def cancel(self, frame: CancelFrame) -> None:
        """Hang up."""
        await super().cancel(frame)
        await self._hang_up()

    async def cleanup(self) -> None:
        """Hang up. May be called twice."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._hang_up()
        self._checked.release()

    async def stand_by(self) -> None:
        """Hang up: another service does the work."""
        await self._hang_up()

    async def take_over(self) -> None:
        """See whether the server is there again, and connect anew. Raises RemoteError."""
        await asyncio.to_thread(self._check)
        self._connect()

    @abstractmethod
    def _connect(self) -> None:
        """Hold a connection, `_hold_connection`, over which nothing was sent yet."""

    async def told(self, message: str, trouble: RemoteError) -> None:
        """Something failed that is tried again, or left out."""
        if trouble.lasts:
            await self.push_error(message)
        else:
            await self.push_error(message, exception=trouble, category=trouble.category)

    async def given_up(self, error: RemoteError) -> None:
        """The connection is lost for good: the conversation ends."""
        await self.push_error(str(error), exception=error, category=error.category, force_treat_as_permanent=True)

    def _hold_connection(self, staying: Coroutine[Any, Any, None]) -> None:
        """Run what keeps the connection until the pipeline ends."""
        self._running = self.create_task(self._stay(staying), "connection")

    async def _stay(self, staying: Coroutine[Any, Any, None]) -> None:
        try:
            await staying
        except RemoteError as error:
            await self.given_up(error)

    async def _hang_up(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await self.cancel_task(running)
