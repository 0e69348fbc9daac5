"""Threads for what computes: one at a time each, with a place in the queue for the cores.

On two cores everything that hears, thinks, speaks and draws wants to compute at once. What nobody waits for, such as
writing a film, gets what they leave.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum


class Priority(IntEnum):
    """Niceness of a worker's thread, and of the threads that it starts, beyond that of the process."""

    NORMAL = 0
    """What must be in time, every frame: the picture, as the event loop."""
    THINKING = 5
    """Hearing, thinking and speaking: late by little is not noticed, but they would take every core they get."""
    BACKGROUND = 19
    """Work that nobody waits for."""


def worker(name: str, priority: Priority = Priority.NORMAL) -> ThreadPoolExecutor:
    """One thread that takes jobs in order. Shut it down when its owner closes."""
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_set_priority, initargs=(priority,))


def _set_priority(priority: Priority) -> None:
    # Only Linux gives each thread its own niceness; elsewhere this would slow down the whole process.
    if priority and sys.platform == "linux":
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + priority))
