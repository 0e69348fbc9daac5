"""Replays work on static memory: as a CUDA graph where there is a GPU, by calling it where there is none.

An iteration of the engine is some thousand small launches; as one graph it is one, and its time no longer depends on
what the host does meanwhile. Captured work reads and writes the same addresses for ever, so whatever differs from one
iteration to the next must lie in tensors that are filled before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import torch

Key = TypeVar("Key", bound=Hashable)

_WARM_UPS = 2
"""Runs before a capture: kernels are compiled and cuDNN's algorithms chosen in them."""


class Replayed(Generic[Key]):
    """Work that is captured once for each key, and then replayed.

    Args:
        work: does everything for a key, on `stream`; all it reads and writes must outlive it.
        stream: where it is captured and replayed; None calls `work` each time.
    """

    def __init__(self, work: Callable[[Key], None], stream: torch.cuda.Stream | None) -> None:
        self._work = work
        self._stream = stream
        self._graphs: dict[Key, torch.cuda.CUDAGraph] = {}
        self._pool = None if stream is None else torch.cuda.graph_pool_handle()

    def capture(self, key: Key) -> None:
        """Warm up and capture the work of a key; changes whatever the work changes, three times over."""
        if self._stream is None or key in self._graphs:
            return
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                self._work(key)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # The threads of NCCL may go on asking how their work is.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            self._work(key)
        self._graphs[key] = graph

    def close(self) -> None:
        """Let go of what was captured: NCCL ends a group only when no graph with its exchanges is left."""
        for graph in self._graphs.values():
            graph.reset()
        self._graphs.clear()

    def __call__(self, key: Key) -> None:
        """Do the work of a key: enqueued on the stream, if there is one, without waiting for it."""
        if self._stream is None:
            self._work(key)
            return
        with torch.cuda.stream(self._stream):
            graph = self._graphs.get(key)
            if graph is None:
                self._work(key)
            else:
                graph.replay()
