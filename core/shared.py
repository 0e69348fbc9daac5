"""Models that several conversations use together: loaded by the first, freed by the last.

A character's models are heavy and its visitors many. Whoever needs a model describes it with a `Share`: the key under
which all that need the same meet, and how to make it. The value lives in one worker thread, where it is made, used and
freed, so that it need not be thread safe and its users take turns.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from animacy.core.threads import Priority, worker

T = TypeVar("T", covariant=True)  # a share in a voice is one in a Speaker
R = TypeVar("R")


class _Kept(Generic[T]):
    """A value with its thread and the number of its users."""

    def __init__(self, thread: ThreadPoolExecutor, made: Future[T]) -> None:
        self.thread = thread
        self.made = made
        self.users = 0


_lock = threading.RLock()
_kept: dict[Hashable, _Kept[Any]] = {}


class Share(Generic[T]):
    """One user's share in the value of a key. Free to create; nothing happens before `load`.

    Parameters:
        key: equal for all who can use the same value; its first item, the plugin's name, names the thread.
        make: makes the value, in its thread. May block for long and raise.
        close: frees it, in its thread, after all jobs given to it before.
        priority: of the thread, and of those that the value starts.
    """

    def __init__(
        self,
        key: tuple[Hashable, ...],
        make: Callable[[], T],
        close: Callable[[T], None] | None = None,
        priority: Priority = Priority.THINKING,
    ) -> None:
        self._key, self._make, self._close, self._priority = key, make, close, priority
        self._mine: _Kept[T] | None = None

    async def load(self) -> T:
        """Take the share and return the value: made now when this is its first user, else waited for or just there.

        Does nothing when the share is held already. When it raises, or is cancelled, the share it took is given back.
        """
        is_first = self._mine is None
        mine = self._mine = self._mine or self._enter()
        if not mine.made.done():
            try:
                # Shielded: others may wait for the same value, and it is made to its end once it is begun.
                await asyncio.shield(asyncio.wrap_future(mine.made))
            except BaseException:
                if is_first:
                    self._leave(mine)
                raise
        if self._mine is not mine:
            raise RuntimeError(f"{self._key[0]} was released while it was being loaded")
        try:
            return mine.made.result()
        except BaseException:
            self._leave(mine)
            raise

    @property
    def value(self) -> T:
        """The value. Raises RuntimeError when no share is held."""
        if self._mine is None or not self._mine.made.done():
            raise RuntimeError(f"{self._key[0]} is not loaded")
        return self._mine.made.result()

    async def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function in the value's thread, after what others asked for before.

        Raises RuntimeError when no share is held. Cancelling it while it waits takes it out of the line; what is under
        way goes on.
        """
        if self._mine is None:
            raise RuntimeError(f"{self._key[0]} is not loaded")
        return await asyncio.get_running_loop().run_in_executor(self._mine.thread, function, *arguments)

    def release(self) -> None:
        """Give the share back; the last one frees the value in its own thread. May be called twice, never blocks."""
        if self._mine is not None:
            self._leave(self._mine)

    def _enter(self) -> _Kept[T]:
        with _lock:
            kept: _Kept[T] | None = _kept.get(self._key)
            if kept is None:
                thread = worker(str(self._key[0]), self._priority)
                kept = _kept[self._key] = _Kept(thread, thread.submit(self._make))
                kept.made.add_done_callback(lambda made: self._forget_if_failed(made))
            kept.users += 1
        return kept

    def _forget_if_failed(self, made: Future[T]) -> None:
        """Who comes after a failure tries again."""
        if made.cancelled() or made.exception() is not None:
            with _lock:
                kept = _kept.get(self._key)
                if kept is not None and kept.made is made:
                    del _kept[self._key]

    def _leave(self, mine: _Kept[T]) -> None:
        if self._mine is not mine:
            return
        self._mine = None
        with _lock:
            mine.users -= 1
            if mine.users:
                return
            if _kept.get(self._key) is mine:
                del _kept[self._key]
        mine.thread.submit(_free, mine.made, self._close)
        mine.thread.shutdown(wait=False)


def _free(made: Future[T], close: Callable[[T], None] | None) -> None:
    if close is not None and not made.cancelled() and made.exception() is None:
        close(made.result())
