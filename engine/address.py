"""Where an engine process listens: a Unix socket, or a port of this machine's loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from animacy.engine.errors import EngineError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Address:
    """`path` of a Unix socket, or a `port` of 127.0.0.1."""

    path: Path | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read "127.0.0.1:port" or the path of a socket. Raises EngineError for another machine's address.

        Frames go through shared memory, so both sides are on one machine; and whoever reaches the socket may use it.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal():
            return cls(path=Path(text))
        if host not in _LOOPBACK or int(port) > 65535:
            raise EngineError(
                f"the engine cannot be at {text}", "use 127.0.0.1:PORT or the path of a Unix socket on this machine"
            )
        return cls(port=int(port))

    def __str__(self) -> str:
        return str(self.path) if self.path is not None else f"127.0.0.1:{self.port}"

    async def listen(self, handler: Handler) -> tuple[asyncio.Server, Address]:
        """Take callers; returns the address with the port that was found if it was 0. Raises EngineError."""
        try:
            if self.path is None:
                server = await asyncio.start_server(handler, _LOOPBACK[0], self.port)
                return server, Address(port=server.sockets[0].getsockname()[1])
            # asyncio takes the place of any socket, which is right only for what a killed engine has left behind.
            if self.answers():
                raise EngineError(f"the engine cannot listen at {self}: another one does", "choose another address")
            server = await asyncio.start_unix_server(handler, self.path)
            self.path.chmod(0o600)
        except OSError as error:
            raise EngineError(f"the engine cannot listen at {self}: {error}", "choose another one") from error
        return server, self

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Call an engine. Raises OSError when none answers."""
        if self.path is None:
            return await asyncio.open_connection(_LOOPBACK[0], self.port)
        return await asyncio.open_unix_connection(self.path)

    def answers(self) -> bool:
        """Whether somebody takes callers there."""
        family, target = (
            (socket.AF_INET, (_LOOPBACK[0], self.port)) if self.path is None else (socket.AF_UNIX, str(self.path))
        )
        with contextlib.closing(socket.socket(family)) as probe:
            return probe.connect_ex(target) == 0

    def remove(self) -> None:
        """Take the socket's file away."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
