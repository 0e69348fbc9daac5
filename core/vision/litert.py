"""TFLite models on LiteRT: made without its chatter, run with one array."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep the lines that LiteRT's C++ writes about itself off the terminal; its errors come as exceptions."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


class Network:
    """One TFLite model with one input; `names` are those of its outputs. Not safe for use from two threads at once."""

    def __init__(self, content: bytes, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _quiet_stderr():
            self._model: Any = Interpreter(model_content=content, num_threads=threads)
            self._model.allocate_tensors()
        self._input = self._model.get_input_details()[0]["index"]
        details = self._model.get_output_details()
        self._outputs = [o["index"] for o in details]
        self.names = tuple(str(o["name"]) for o in details)

    def __call__(self, x: NDArray[np.floating[Any]]) -> list[F32]:
        """Run it on one batch; its outputs in the order of `names`."""
        self._model.set_tensor(self._input, x.astype(np.float32))
        self._model.invoke()
        return [self._model.get_tensor(index) for index in self._outputs]
