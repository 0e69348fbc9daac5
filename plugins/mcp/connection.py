"""A connection to an MCP server that is made anew when it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from animacy.plugins.mcp import McpSettings
from animacy.plugins.mcp.commands import allowed_command

Open = Callable[[asyncio.Event], AbstractAsyncContextManager[Client]]
CONNECT, READ = 10.0, 600.0
"""Seconds to connect, and to wait for more of an answer; a call's own limit is the toolbox's."""


class Connection:
    """One client at a time, each in a task of its own: the SDK wants to be left where it was entered."""

    def __init__(self, open_: Open) -> None:
        self._open = open_
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop, self._ended = asyncio.Event(), asyncio.Event()

    async def client(self) -> Client:
        """The connected client. Raises whatever keeps it from connecting."""
        async with self._lock:
            if self._client is not None and self._ended.is_set():
                await self._leave()
            if self._client is None:
                self._client = await self._enter()
            return self._client

    async def lost(self, client: Client) -> None:
        """A call found this client's connection broken: the next call makes a new one."""
        async with self._lock:
            if self._client is client:
                await self._leave()

    async def close(self) -> None:
        """Disconnect, and end a server that was started."""
        async with self._lock:
            await self._leave()

    async def _enter(self) -> Client:
        self._stop, self._ended = asyncio.Event(), asyncio.Event()
        ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(ready, self._stop, self._ended), name="mcp")
        try:
            return await ready
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    async def _hold(self, ready: asyncio.Future[Client], stop: asyncio.Event, ended: asyncio.Event) -> None:
        try:
            async with self._open(ended) as client:
                if not ready.done():
                    ready.set_result(client)
                await stop.wait()
        except Exception as error:
            if not ready.done():
                ready.set_exception(first(error))
        finally:
            ended.set()
            if not ready.done():
                ready.set_exception(ConnectionError("it ended"))

    async def _leave(self) -> None:
        self._client = None
        self._stop.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait({task})  # not awaited itself: who gives up waiting must not tear it down half-way


def first(error: BaseException) -> BaseException:
    """The first error inside groups of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def opener(settings: McpSettings, folder: Path) -> Open:
    """How to connect as the settings say. Raises ToolError when they start a command that is not allowed."""
    if settings.url is not None:
        return lambda ended: _over_http(settings, ended)
    assert settings.command is not None
    server = StdioServerParameters(
        command=allowed_command(settings.command),
        args=[argument.replace("{folder}", str(folder.resolve())) for argument in settings.args],
        env=dict(settings.env),
    )
    return lambda ended: _over_stdio(server, ended)


@asynccontextmanager
async def _over_stdio(server: StdioServerParameters, ended: asyncio.Event) -> AsyncIterator[Client]:
    async with Client(_watched(stdio_client(server), ended)) as client:
        yield client


@asynccontextmanager
async def _over_http(settings: McpSettings, ended: asyncio.Event) -> AsyncIterator[Client]:
    assert settings.url is not None
    timeout = httpx2.Timeout(CONNECT, read=READ)
    async with httpx2.AsyncClient(headers=dict(settings.headers), timeout=timeout) as http:
        transport = streamable_http_client(settings.url, http_client=http)
        async with Client(_watched(transport, ended)) as client:
            yield client


@asynccontextmanager
async def _watched(transport: AbstractAsyncContextManager[Any], ended: asyncio.Event) -> AsyncIterator[Any]:
    """The transport, and word of its end even when nobody calls."""
    async with transport as (read, write):
        yield _Watched(read, ended), write


class _Watched:
    """A stream that tells when nothing more will come."""

    def __init__(self, stream: Any, ended: asyncio.Event) -> None:
        self._stream, self._end = stream, ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def receive(self) -> Any:
        try:
            return await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._end.set()
            raise

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except (StopAsyncIteration, anyio.ClosedResourceError):
            self._end.set()
            raise

    async def __aenter__(self) -> _Watched:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> Any:
        return await self._stream.__aexit__(*details)
