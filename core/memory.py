"""Memory that is free and not given back."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any


def give_back_memory() -> None:
    """Hand what the C library keeps of freed memory back to the system; only glibc keeps so much of it.

    A conversation frees tens of megabytes in many threads when it ends. Takes some milliseconds: not on an event loop.
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
