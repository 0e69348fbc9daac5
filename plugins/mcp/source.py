"""An MCP server's tools as ours."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import CONNECTION_CLOSED, INVALID_REQUEST, CallToolResult, TextContent
from mcp.types import Tool as TheirTool
from pydantic import ValidationError

from animacy.core.errors import AnimacyError, ToolError
from animacy.core.plugins import suggestion
from animacy.core.tools.contract import Call, Tool
from animacy.core.tools.settings import ToolFlags
from animacy.plugins.mcp import McpSettings
from animacy.plugins.mcp.connection import Connection, opener

MAX_PAGES = 20
MAX_DESCRIPTION = 1000
MAX_MESSAGE = 200
BROKEN = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, httpx2.HTTPError, OSError)


class McpServer:
    """One server as a tool source."""

    def __init__(self, settings: McpSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._connection: Connection | None = None

    async def load(self) -> list[Tool]:
        """Connect and list the tools. Raises ToolError with a remedy."""
        self._connection = Connection(opener(self._settings, self._folder))
        try:
            theirs = await _list(await self._connection.client())
        except AnimacyError:
            raise
        except Exception as error:  # the SDK's errors are many; the address and the headers are in some of them
            kind = type(error).__name__
            raise ToolError(f"the MCP server {self._label()} cannot be used ({kind})", self._remedy()) from error
        self._check_names({tool.name for tool in theirs})
        allow = self._settings.allow
        return [self._ours(tool) for tool in theirs if allow is None or tool.name in allow]

    async def close(self) -> None:
        """Disconnect, and end a server that was started."""
        if self._connection is not None:
            await self._connection.close()

    def _ours(self, tool: TheirTool) -> Tool:
        settings, hints = self._settings, tool.annotations
        read_only = bool(hints and hints.read_only_hint)
        destructive = bool(hints and hints.destructive_hint) and not read_only
        flags = ToolFlags(
            timeout=settings.timeout,
            filler=settings.filler,
            background=tool.name in settings.background,
            silent=tool.name in settings.silent,
            consequential=destructive if settings.consequential is None else tool.name in settings.consequential,
        )
        again = read_only or bool(hints and hints.idempotent_hint)
        description = (tool.description or tool.title or tool.name)[:MAX_DESCRIPTION]
        name = settings.prefix + _our_name(tool.name)
        return flags.make_tool(name, description, tool.input_schema, partial(self._call, tool.name, again))

    async def _call(self, name: str, again: bool, call: Call) -> Any:
        assert self._connection is not None

        async def note(progress: float, total: float | None, message: str | None) -> None:
            if message:
                await call.progress(message)

        for attempt in range(2):
            try:
                client = await self._connection.client()
            except Exception as error:
                raise ToolError("the server cannot be reached") from error
            reached = True  # as far as can be told, so that nothing is done twice that must not be
            try:
                return _value(await client.call_tool(name, dict(call.arguments), progress_callback=note))
            except MCPError as error:
                reached = not _forgotten(error)
                if reached and error.code != CONNECTION_CLOSED:
                    raise ToolError(error.message[:MAX_MESSAGE] or "the server refused it") from None
            except ValidationError:
                raise ToolError("the server's answer cannot be understood") from None
            except BROKEN:
                pass
            await self._connection.lost(client)
            if attempt or (reached and not again):
                break
        raise ToolError("the connection to the server was lost")

    def _check_names(self, known: set[str]) -> None:
        settings = self._settings
        for key in ("allow", "consequential", "background", "silent"):
            for name in getattr(settings, key) or ():
                if name not in known:
                    raise ToolError(
                        f"`{key}` names {name!r}, which the MCP server {self._label()} does not offer",
                        suggestion(name, sorted(known)),
                    )

    def _label(self) -> str:
        return self._settings.command or urlsplit(self._settings.url or "").netloc

    def _remedy(self) -> str:
        if self._settings.command is not None:
            return "Run the command by hand to see why; its own output is above."
        return "Check that it runs, that `url` is its streamable HTTP address, and what `headers` it wants."


async def _list(client: Client) -> Sequence[TheirTool]:
    tools: list[TheirTool] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools


def _forgotten(error: MCPError) -> bool:
    """Whether a server that was started anew does not know our session any more."""
    return error.code == INVALID_REQUEST and error.message == "Session terminated"


def _our_name(name: str) -> str:
    """Their name in lower case, words joined by underscores."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9_]+", "_", words.lower()).strip("_")[:64]


def _value(result: CallToolResult) -> Any:
    texts = [block.text if isinstance(block, TextContent) else f"({block.type})" for block in result.content]
    text = "\n".join(texts)
    if result.is_error:
        raise ToolError(text[:MAX_MESSAGE] or "the server could not do it")
    structured = result.structured_content
    if isinstance(structured, dict) and set(structured) == {"result"}:
        return structured["result"]  # how the SDK wraps what is no object
    if structured is not None:
        return structured
    with contextlib.suppress(ValueError, RecursionError):
        if text.startswith(("{", "[")):
            return json.loads(text)
    return text or None
