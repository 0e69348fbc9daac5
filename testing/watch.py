"""Notices an event loop that stands still, and what outlives its owner."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import sysconfig
import threading
import time
from collections.abc import AsyncIterator, Callable
from types import FrameType

BEAT = 0.02
LONGEST_STALL = 0.5
"""Seconds. Ten frames of a picture are late by then, and every visitor's voice stutters."""
LOOKED_AT = 0.2
PATIENCE = 3.0
"""Seconds that what was let go of may take to end."""
SHARED_THREADS = ("asyncio_", "ThreadPoolExecutor-")
"""Of the loop's own executor: they belong to nobody."""


async def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for what nothing tells of; False when it did not come in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.01)
    return True


class LoopWatch:
    """The longest time for which the event loop stood still, and where."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.where = ""
        self._beat = time.monotonic()
        self._place = ""
        self._stopped = threading.Event()

    def reset(self) -> None:
        """Forget what was noticed."""
        self.longest, self.where, self._place = 0.0, "", ""
        self._beat = time.monotonic()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the running loop meanwhile."""
        heart = asyncio.create_task(self._tick(), name="heartbeat")
        looker = threading.Thread(target=self._look, args=(threading.get_ident(),), name="loop watch", daemon=True)
        looker.start()
        try:
            yield
        finally:
            self._stopped.set()
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            late = now - self._beat - BEAT
            if late > self.longest:
                self.longest, self.where = late, self._place
            self._beat, self._place = now, ""

    def _look(self, loop_thread: int) -> None:
        """From another thread: where is the loop's one, while it is late?"""
        while not self._stopped.wait(LOOKED_AT / 4):
            if not self._place and time.monotonic() - self._beat > LOOKED_AT:
                self._place = _place(sys._current_frames().get(loop_thread))


def _place(frame: FrameType | None) -> str:
    """The innermost line that is not of Python's own library."""
    own = (sysconfig.get_path("stdlib") + "/", "<")
    packages = sysconfig.get_path("purelib")
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(packages) or not code.co_filename.startswith(own):
            return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"
        frame = frame.f_back
    return ""


class Living:
    """The tasks and threads of a moment, to be compared with those of a later one."""

    def __init__(self) -> None:
        self._tasks, self._threads = asyncio.all_tasks(), set(threading.enumerate())

    async def newcomers(self) -> list[str]:
        """What is there that was not, once what ends soon had the time to."""
        await until(lambda: not self._new(), PATIENCE)
        return self._new()

    def _new(self) -> list[str]:
        tasks = [f"task {task.get_name()!r}" for task in asyncio.all_tasks() - self._tasks if not task.done()]
        threads = [
            f"thread {thread.name!r}"
            for thread in set(threading.enumerate()) - self._threads
            if thread.is_alive() and not thread.name.startswith(SHARED_THREADS)
        ]
        return sorted(tasks + threads)
