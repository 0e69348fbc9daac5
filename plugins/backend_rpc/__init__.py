"""A tool that asks the operator's server, or a function of the program that runs the character."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider
from animacy.core.tools.settings import NamedToolSettings

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
OWN_HEADERS = {"content-type", "content-length", "host", "transfer-encoding", "idempotency-key"}


class BackendRpcSettings(NamedToolSettings):
    """What a recipe may say beside `plugin: backend_rpc`."""

    url: str | None = Field(None, repr=False, description="where the call is posted to as JSON, http or https")
    headers: Mapping[str, str] = Field(
        default_factory=dict, repr=False, description="sent along; secrets as `${env:NAME}`"
    )
    handler: str | None = Field(None, description="instead of `url`: a function that this process has registered")
    idempotent: bool = Field(False, description="doing it twice does no harm, so it may be tried again")
    retries: int = Field(2, ge=0, le=5, description="how often it is tried again, if it is idempotent")

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            raise ValueError("is not a web address") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError('must begin with "https://" or "http://" and name a server')
        if parts.username or parts.password:
            raise ValueError("must hold no password; put it into `headers` as ${env:NAME}")
        return url

    @field_validator("headers")
    @classmethod
    def _plain_headers(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in headers.items():
            if not HEADER_NAME.fullmatch(name) or name.casefold() in OWN_HEADERS:
                raise ValueError(f"{name!r} cannot be a header here")
            if not value.isprintable():
                raise ValueError(f"the value of {name!r} must be one line of text")
        return headers

    @model_validator(mode="after")
    def _one_of_both(self) -> BackendRpcSettings:
        if (self.url is None) == (self.handler is None):
            raise ValueError("needs either `url` or `handler`")
        return self


def _create(settings: BackendRpcSettings, character: CharacterContext) -> Any:
    from animacy.plugins.backend_rpc.source import BackendRpc

    return BackendRpc(settings)


@hookimpl
def tool_providers() -> Provider:
    """Offer `plugin: backend_rpc`."""
    return Provider("backend_rpc", BackendRpcSettings, _create, summary="A question to your server, or to your program")
