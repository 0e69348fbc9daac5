"""Followers of a network that several ranks share: processes, each with a GPU and a part, which do what the first does.

The first rank is the engine's own process. It tells the others by name what it is about to do itself; the sums and
exchanges in it keep them in step on their devices, and nobody's host waits for another's.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import wraps
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch
from torch import Tensor

from animacy.engine.errors import EngineError
from animacy.engine.ranks import ALONE, Ranks

Method = TypeVar("Method", bound=Callable[..., Any])

_SECONDS_TO_TELL = 5.0
"""How long after a sum that failed the news of a dead process may come."""


class Team:
    """Those who follow this process in one network.

    Args:
        ranks: this process among them.
        connections: to each of the others.
        lost: gets the error when one of them has ended.
    """

    def __init__(
        self, ranks: Ranks = ALONE, connections: Sequence[Connection] = (), lost: Future[None] | None = None
    ) -> None:
        self.ranks = ranks
        self._connections = connections
        self._lost: Future[None] = Future() if lost is None else lost

    @contextmanager
    def doing(self, name: str, arguments: tuple[Any, ...]) -> Iterator[None]:
        """Have the others call the method `name`, while this process does so within.

        Raises:
            EngineError: one of them has ended.
        """
        self.check()
        with self.together():
            if self._connections:
                message = _dumps((name, arguments))
                for connection in self._connections:
                    connection.send_bytes(message)
            yield

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within, all do the same: where one has ended meanwhile, that is the error."""
        try:
            yield
        except (OSError, EOFError, RuntimeError):  # a pipe that is closed, a sum that lacks a rank
            if self._connections:
                wait([self._lost], _SECONDS_TO_TELL)
                self.check()
            raise

    def check(self) -> None:
        """Raises EngineError when one of them has ended."""
        if self._lost.done() and (error := self._lost.exception()) is not None:
            raise error


NOBODY = Team()
"""A network that one process has all of."""


def led(method: Method) -> Method:
    """Of an object with a `team`: whoever follows does the same, with the same arguments."""

    @wraps(method)
    def call(self: Any, *arguments: Any) -> Any:
        with self.team.doing(method.__name__, arguments):
            return method(self, *arguments)

    return call  # type: ignore[return-value]


def follow(connection: Connection, follower: Any) -> None:
    """Do what the first rank says, until it hangs up. Nobody else has the other end of `connection`."""
    while True:
        try:
            name, arguments = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        with suppress(EngineError):  # the first rank raises the same, and tells whoever asked
            getattr(follower, name)(*arguments)


class _Pickler(pickle.Pickler):
    """Sends tensors by their bytes; PyTorch would have them share memory, which costs more than it saves here."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return NotImplemented
        data = value.detach().cpu().contiguous()
        return _tensor, (bytearray(data.flatten().view(torch.uint8).numpy()), data.dtype, data.shape)


def _tensor(data: bytearray, dtype: torch.dtype, shape: torch.Size) -> Tensor:
    return torch.frombuffer(data, dtype=torch.uint8).view(dtype).view(shape)


def _dumps(message: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()
