"""The call to a server: one POST, its answer, and every way in which it can go wrong."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import aiohttp
from loguru import logger

from animacy.core.errors import ToolError
from animacy.core.tools.contract import Call, Tool
from animacy.core.tools.handlers import Handler, handler_named
from animacy.core.tools.threads import in_thread
from animacy.plugins.backend_rpc import BackendRpcSettings

MAX_BYTES = 256 * 1024
"""Longest answer that is read."""
MAX_MESSAGE = 200
"""Longest error message of the server that is passed on, in characters."""
PAUSE = 0.2
"""Seconds before the first new try; twice as long before each further one."""


class _TryAgainError(ToolError):
    """It did not work, and may work the next time."""


class BackendRpc:
    """One remote function as a tool source."""

    def __init__(self, settings: BackendRpcSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._handler: Handler | None = None

    async def load(self) -> list[Tool]:
        """The tool. Raises ToolError when its handler is not registered."""
        if self._settings.handler is not None:
            self._handler = handler_named(self._settings.handler)
            return [self._settings.tool(self._ask_handler)]
        self._session = aiohttp.ClientSession(headers=self._settings.headers)
        return [self._settings.tool(self._ask_server)]

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask_handler(self, call: Call) -> Any:
        assert self._handler is not None
        if inspect.iscoroutinefunction(self._handler):
            return await self._handler(call)
        value = await in_thread(call.tool, self._handler, call)
        return await value if inspect.isawaitable(value) else value

    async def _ask_server(self, call: Call) -> Any:
        tries = 1 + (self._settings.retries if self._settings.idempotent else 0)
        for number in range(1, tries + 1):
            try:
                return await self._post(call, tries)
            except _TryAgainError:
                if number == tries:
                    raise
            await asyncio.sleep(PAUSE * 2 ** (number - 1))
        raise AssertionError("unreachable")

    async def _post(self, call: Call, tries: int) -> Any:
        assert self._session is not None and self._settings.url is not None
        body = {"tool": call.tool, "arguments": dict(call.arguments), "call": call.id}
        # The toolbox gives the whole call up in time: with several tries none of them may use up all of it.
        whole, pauses = self._settings.tool(self._ask_server).timeout, PAUSE * (2 ** (tries - 1) - 1)
        seconds = max(0.9 * whole - pauses, whole / 2) / tries
        try:
            async with self._session.post(
                self._settings.url,
                json=body,
                headers={"Idempotency-Key": call.id},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                content = await _read(response)
                logger.debug(f"{call.tool}: HTTP {response.status}, {len(content)} bytes")
                return self._answer(response.status, content)
        except TimeoutError:
            raise _TryAgainError("the server takes too long to answer") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The message of the error may hold the address.
            logger.warning(f"{call.tool}: {type(error).__name__}")
            raise _TryAgainError("the server cannot be reached") from None

    def _answer(self, status: int, content: bytes) -> Any:
        if status >= 500:
            raise _TryAgainError("the server has a problem")
        if status == 429:
            raise _TryAgainError("the server is busy")
        if status in (401, 403):
            raise ToolError("the server does not allow it")
        if status >= 400:
            raise ToolError(self._reason(content) or ("it was not found" if status == 404 else "the server refused it"))
        if status >= 300:
            raise ToolError("the server sent it elsewhere")
        if not content.strip():
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise ToolError("the server's answer cannot be understood") from None

    def _reason(self, content: bytes) -> str | None:
        """The server's own words on what is wrong: {"error": "..."}; not where they repeat what must not be told."""
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            return None
        reason = body.get("error") if isinstance(body, dict) else None
        secrets = [self._settings.url or "", *self._settings.headers.values()]
        secrets += [word for value in self._settings.headers.values() for word in value.split() if len(word) >= 8]
        if not isinstance(reason, str) or not reason or any(secret and secret in reason for secret in secrets):
            return None
        return reason[:MAX_MESSAGE]


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        content += chunk
        if len(content) > MAX_BYTES:
            raise ToolError("the server's answer is too long")
    return bytes(content)
