"""Blocking code of tools, in threads that may be abandoned.

A thread cannot be cancelled. One that a tool leaves hanging must not hold up a conversation, other tools, or the end of
the process: so each call has a daemon thread of its own, and what hangs too often is no longer called.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from animacy.core.errors import ToolError

T = TypeVar("T")

MAX_ABANDONED = 4
"""Threads of one name that may hang before it is called no more."""

_abandoned: Counter[str] = Counter()
_lock = threading.Lock()


def abandoned(name: str) -> int:
    """How many threads of this name still run although nobody waits for them."""
    return _abandoned[name]


async def in_thread(name: str, function: Callable[..., T], *arguments: Any) -> T:
    """The result of a blocking function. When cancelled it is left behind, and counted until it returns.

    Raises ToolError at once when too many calls of that name were left behind already.
    """
    if abandoned(name) >= MAX_ABANDONED:
        raise ToolError("that does not answer at the moment")
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    left = False
    ended = False

    def work() -> None:
        nonlocal ended
        result: Any = None
        error: BaseException | None = None
        try:
            result = function(*arguments)
        except BaseException as raised:  # sys.exit in a tool must not end the thread unseen
            error = raised
        with _lock:
            ended = True
            if left:
                _abandoned[name] -= 1
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(deliver, result, error)

    def deliver(result: T, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            harmless = isinstance(error, Exception) and not isinstance(error, StopIteration)
            future.set_exception(error if harmless else RuntimeError(type(error).__name__))

    threading.Thread(target=work, name=f"tool {name}", daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        with _lock:
            if not ended:
                left = True
                _abandoned[name] += 1
        raise
