"""A stream of sound to Deepgram that outlives its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from deepgram.listen.v1.socket_client import AsyncV1SocketClient
from deepgram.listen.v1.types import ListenV1Results
from loguru import logger
from websockets.exceptions import ConnectionClosed

from animacy.core.pipeline.connected import Told, stay_connected
from animacy.plugins.deepgram.backlog import Backlog
from animacy.plugins.deepgram.server import Server

PIECE = 8_192
"""Bytes of one message of sound; a quarter of a second at 16 kHz."""

KEEP_ALIVE_SECONDS = 4.0
"""A connection without sound is closed by the server after ten."""

Heard = Callable[[ListenV1Results], Awaitable[None]]


class Link:
    """Sends sound and hears results, and connects again when a connection breaks.

    What was sent and not answered by a final result is sent again on the next connection, as is what came in between.

    Parameters:
        server: where to.
        sample_rate: of the sound, mono 16-bit.
        kept_seconds: how much sound is kept for a new connection; what is older is lost.
        attempts: how many connections may fail in a row.
        heard: takes every result.
        told: takes what to tell of a connection that broke and is tried again.
    """

    def __init__(
        self, server: Server, sample_rate: int, *, kept_seconds: float, attempts: int, heard: Heard, told: Told
    ) -> None:
        self._server, self._rate, self._attempts = server, sample_rate, attempts
        self._heard, self._told = heard, told
        self._backlog = Backlog(sample_rate, kept_seconds)
        self._more = asyncio.Event()
        self._origin = self._sent = 0  # where the connection began, and how far it was sent, in the backlog's terms
        self._to_finalize: int | None = None
        self._finalizing: int | None = None  # asked for, and not answered yet

    def send(self, sound: bytes) -> None:
        """Append sound. Never waits."""
        self._backlog.add(sound)
        self._more.set()

    def finalize(self) -> None:
        """Ask for the final words of all sound so far. They come marked `from_finalize`, most of the time."""
        self._to_finalize = self._backlog.end
        self._more.set()

    async def run(self) -> None:
        """Keep connected until cancelled. Raises RemoteError when it is of no use to try again."""
        await stay_connected(
            self._server,
            lambda: self._server.connect(self._rate),
            self._converse,
            self._told,
            attempts=self._attempts,
        )

    async def _converse(self, connection: AsyncV1SocketClient) -> None:
        """Send and hear until the connection ends."""
        self._origin = self._sent = self._backlog.first
        if self._finalizing is not None:
            self._to_finalize = max(self._finalizing, self._to_finalize or 0)
        sending = asyncio.create_task(self._send_all(connection), name="deepgram sender")
        try:
            async for message in connection:
                await self._take(message)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self, connection: AsyncV1SocketClient) -> None:
        try:
            while True:
                await self._send_waiting(connection)
                self._more.clear()
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                        await self._more.wait()
                except TimeoutError:
                    await connection.send_keep_alive()
        except ConnectionClosed:
            pass  # whoever listens is told as well

    async def _send_waiting(self, connection: AsyncV1SocketClient) -> None:
        while True:
            lost = max(0, self._backlog.first - self._sent)  # more came than could be sent
            self._sent, self._origin = self._sent + lost, self._origin + lost
            until = self._backlog.end if self._to_finalize is None else min(self._to_finalize, self._backlog.end)
            if self._sent < until:
                piece = self._backlog.read(self._sent, min(PIECE, until - self._sent))
                self._sent += len(piece)
                await connection.send_media(piece)
            elif self._to_finalize is not None:
                self._to_finalize, self._finalizing = None, self._to_finalize
                await connection.send_finalize()
            else:
                return

    async def _take(self, message: object) -> None:
        if not isinstance(message, ListenV1Results):
            return
        try:
            until = self._backlog.position(self._origin, message.start + message.duration)
            final, finalized = bool(message.is_final), bool(message.from_finalize)
        except (AttributeError, TypeError):
            logger.warning("Deepgram sent a result without its times; it is left out")
            return
        if final:
            self._backlog.drop(min(until, self._sent))
        if finalized:
            self._finalizing = None
        await self._heard(message)
