"""One WebSocket connection, as long as it lasts: what leaves through it, and how much of that is stuck."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from animacy.plugins.web.protocol import CloseCode

MAX_TEXTS = 256
"""Text messages that may wait for a slow client; the oldest go first."""
UNSENT_BYTES = 16 * 1024
"""What the kernel may hold that was not sent yet: the rest stays here, where it is seen and can be left out."""
CLOSE_SECONDS = 2.0


class Link:
    """Sends text at once and in order; media only as fast as the network takes it.

    Parameters:
        request, ws: the connection.
        patience: seconds a client may take nothing before it is given up.
    """

    def __init__(self, request: web.Request, ws: web.WebSocketResponse, patience: float) -> None:
        self._patience = patience
        self._ws = ws
        self._transport = request.transport
        self._texts: deque[str] = deque(maxlen=MAX_TEXTS)
        self._wake = asyncio.Event()
        self._writer = asyncio.create_task(self._write_texts(), name="link texts")
        self._told = asyncio.Event()
        self._told.set()
        self._closing: asyncio.Task[None] | None = None
        self.closed = asyncio.Event()
        _keep_little_in_the_kernel(self._transport)

    @property
    def backlog(self) -> int:
        """Bytes that the network has not taken yet."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return 0
        return int(transport.get_write_buffer_size()) if isinstance(transport, asyncio.WriteTransport) else 0

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a text message without waiting."""
        if not self.closed.is_set():
            self._texts.append(json.dumps(message, ensure_ascii=False, separators=(",", ":")))
            self._told.clear()
            self._wake.set()

    async def send(self, data: bytes) -> bool:
        """Send a binary message; waits while the network takes nothing. False when the connection is gone."""
        try:
            await asyncio.wait_for(self._ws.send_bytes(data), self._patience)
        except TimeoutError:
            self.hang_up(CloseCode.TOO_SLOW, "nothing was read")
            self.closed.set()
            return False
        except (ConnectionError, RuntimeError):
            self.closed.set()
            return False
        return True

    def hang_up(self, code: CloseCode, reason: str = "") -> None:
        """Close without waiting for it."""
        if self._closing is None:
            self._closing = asyncio.create_task(self.close(code, reason), name="hang up")

    async def close(self, code: CloseCode, reason: str = "") -> None:
        """Send what text is left, then close. May be called twice."""
        if not self.closed.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), CLOSE_SECONDS)
        self.closed.set()
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
            await asyncio.wait_for(self._ws.close(code=code, message=reason.encode()[:120]), CLOSE_SECONDS)
        if self._transport is not None and self.backlog:
            # A client that reads nothing would keep the connection, and its buffer, for as long as it likes.
            self._transport.abort() if isinstance(self._transport, asyncio.Transport) else self._transport.close()

    async def _write_texts(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._texts:
                try:
                    await self._ws.send_str(self._texts[0])
                except (ConnectionError, RuntimeError):
                    self.closed.set()
                    self._told.set()
                    return
                # A full queue may have dropped it in the meantime.
                if self._texts:
                    self._texts.popleft()
            self._told.set()


def _keep_little_in_the_kernel(transport: asyncio.BaseTransport | None) -> None:
    sock = transport.get_extra_info("socket") if transport is not None else None
    lowat = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if sock is not None and lowat is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, lowat, UNSENT_BYTES)
