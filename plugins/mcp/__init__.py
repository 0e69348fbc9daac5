"""The tools of an MCP server, started as a command or reached by its address."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator, model_validator

from animacy.core.errors import PluginError
from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings

STEERS_PROGRAMS = re.compile(
    r"PATH|LD_.*|DYLD_.*|PYTHON.*|NODE_.*|NPM_.*|UV_.*|PIP_.*|PERL.*|RUBY.*|GEM_.*|JAVA_.*|JDK_.*|_JAVA_.*|BASH_.*|ENV"
    r"|SHELLOPTS|IFS|GCONV_PATH|HOME",
    re.IGNORECASE,
)
"""Variables by which a program is made to run other code: a recipe may not set them."""

Names = tuple[str, ...]


class McpSettings(Settings):
    """What a recipe may say beside `plugin: mcp`."""

    command: str | None = Field(None, min_length=1, description="starts the server, speaking over stdin and stdout")
    args: Names = Field((), max_length=64, description="arguments of the command; {folder} is the recipe's folder")
    env: Mapping[str, str] = Field(default_factory=dict, repr=False, description="variables for the command")
    url: str | None = Field(None, repr=False, description="instead of a command: the server's streamable HTTP address")
    headers: Mapping[str, str] = Field(
        default_factory=dict, repr=False, description="sent along with HTTP; secrets as `${env:NAME}`"
    )
    allow: Names | None = Field(None, min_length=1, description="tools that may be called; all when left out")
    prefix: Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9_]{0,31})?$")] = Field(
        "", description="put before the tools' names"
    )
    consequential: Names | None = Field(
        None, description="tools before which the user is asked; those that the server calls destructive when left out"
    )
    background: Names = Field((), description="tools during which the conversation goes on")
    silent: Names = Field((), description="tools about whose result nothing is said")
    timeout: float | None = Field(None, gt=0, le=3600, description="seconds; 10 when left out, 300 in the background")
    filler: str | None = Field(None, max_length=200, description="said when a call takes longer than a moment")

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/@\s]+(/\S*)?$", url):
            raise ValueError('must begin with "https://" or "http://", name a server and hold no password')
        return url

    @field_validator("env")
    @classmethod
    def _harmless(cls, env: Mapping[str, str]) -> Mapping[str, str]:
        for name in env:
            if STEERS_PROGRAMS.fullmatch(name) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"a recipe may not set {name}, which can make a program run other code")
        return env

    @model_validator(mode="after")
    def _one_of_both(self) -> McpSettings:
        if (self.command is None) == (self.url is None):
            raise ValueError("needs either `command` or `url`")
        if self.url is not None and (self.args or self.env):
            raise ValueError("`args` and `env` belong to `command`")
        if self.command is not None and self.headers:
            raise ValueError("`headers` belong to `url`")
        return self


def _create(settings: McpSettings, character: CharacterContext) -> Any:
    if importlib.util.find_spec("mcp") is None:
        raise PluginError("`plugin: mcp` needs the package mcp", "Install it: pip install 'animacy[mcp]'")
    from animacy.plugins.mcp.source import McpServer

    return McpServer(settings, character.folder)


@hookimpl
def tool_providers() -> Provider:
    """Offer `plugin: mcp`."""
    return Provider(
        "mcp", McpSettings, _create, summary="The tools of an MCP server, by stdio or streamable HTTP", extra="mcp"
    )
