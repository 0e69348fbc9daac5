"""Places for frames in memory that two processes share, so that pictures are not copied through a socket."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int, int, int]


class FrameRing:
    """`chunks` is (slots, frames, height, width, 3), uint8, and the same memory in both processes.

    One process creates it, the other attaches by name, and then the name is unlinked: the memory is gone with the last
    of both, however they end. Until then Python's resource tracker would remove it after its creator.
    """

    def __init__(self, memory: SharedMemory, shape: Shape) -> None:
        self._memory = memory
        self._linked = False
        self._lock = threading.Lock()
        self.name = memory.name
        self.chunks: NDArray[np.uint8] = np.ndarray(shape, np.uint8, memory.buf)

    @classmethod
    def create(cls, shape: Shape) -> FrameRing:
        """Memory under a new name."""
        ring = cls(SharedMemory(create=True, size=math.prod(shape)), shape)
        ring._linked = True
        return ring

    @classmethod
    def attach(cls, name: str, shape: Shape) -> FrameRing:
        """The memory that another process has created. Raises FileNotFoundError when it is gone."""
        if sys.version_info >= (3, 13):
            return cls(SharedMemory(name, track=False), shape)
        memory = SharedMemory(name)
        # Whoever attaches is taken for an owner, and would be told at its end that it has leaked it.
        resource_tracker.unregister(memory._name, "shared_memory")  # type: ignore[attr-defined]
        return cls(memory, shape)

    def write(self, slot: int, frames: NDArray[np.uint8]) -> None:
        """Fill a slot, from any thread. Does nothing after `close`."""
        with self._lock:
            if len(self.chunks):
                self.chunks[slot] = frames

    def unlink(self) -> None:
        """Take the name away; who has the memory keeps it. For the creator; may be called twice."""
        if self._linked:
            self._linked = False
            with contextlib.suppress(FileNotFoundError):
                self._memory.unlink()

    def close(self) -> None:
        """Let go of the memory. No view of `chunks` may be used any more."""
        self.unlink()
        with self._lock:
            self.chunks = np.zeros((0, 0, 0, 0, 3), np.uint8)
            with contextlib.suppress(BufferError):  # a view still lives, and the memory goes with it
                self._memory.close()
