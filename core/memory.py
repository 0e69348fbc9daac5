"""Memory that is free and not given back."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_ARENAS = 2
_LARGE = 4 << 20
"""Bytes of an allocation that is given back as soon as it is freed. A frame of 720p is smaller."""


def keep_memory_together() -> None:
    """Let all threads allocate from a few arenas. Call it before threads are started; it heeds MALLOC_ARENA_MAX.

    By default glibc gives nearly every thread one of its own, and each keeps the most that its thread ever used; and it
    takes ever larger pieces from them instead of from the system.
    """
    if (libc := _glibc()) is not None and "MALLOC_ARENA_MAX" not in os.environ:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGE)


def give_back_memory() -> None:
    """Hand what the C library keeps of freed memory back to the system; only glibc keeps so much of it.

    Takes some milliseconds: not on an event loop.
    """
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "malloc_trim") else None
