"""Where Deepgram is, how a connection to it is opened, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClient, DeepgramClientEnvironment
from deepgram.core import ApiError
from deepgram.listen.v1.socket_client import AsyncV1SocketClient

from animacy.core.pipeline.remote import RemoteError, broken, refused, retry_after_of, unreachable
from animacy.plugins.deepgram import DeepgramSettings

SERVICE, ROLE = "Deepgram", "stt"


class Server:
    """A Deepgram server as the settings describe it. Making one opens nothing."""

    def __init__(self, settings: DeepgramSettings, language: str) -> None:
        self._key = settings.api_key.get_secret_value()
        secure = settings.base_url.startswith(("wss:", "https:"))
        host = settings.base_url.partition("://")[2].rstrip("/")
        self.url = f"{'wss' if secure else 'ws'}://{host}"
        http = f"{'https' if secure else 'http'}://{host}"
        self._environment = DeepgramClientEnvironment(base=http, production=self.url, agent=self.url, agent_rest=http)
        self._options: dict[str, Any] = {
            "model": settings.model,
            "language": language,
            "encoding": "linear16",
            "channels": 1,
            "interim_results": "true",
            "punctuate": "true",
            "smart_format": _flag(settings.smart_format),
            "endpointing": settings.endpointing,
            "mip_opt_out": _flag(settings.mip_opt_out),
        }
        if settings.keyterms:
            self._options["keyterm"] = list(settings.keyterms)

    def connect(self, sample_rate: int) -> AbstractAsyncContextManager[AsyncV1SocketClient]:
        """A connection for mono 16-bit sound of `sample_rate` Hz. Entering it raises what `explain` explains."""
        client = AsyncDeepgramClient(api_key=self._key, environment=self._environment)
        opened: AbstractAsyncContextManager[AsyncV1SocketClient]
        opened = client.listen.v1.connect(**self._options, sample_rate=sample_rate)
        return opened

    def check(self, sample_rate: int) -> None:
        """Knock, and raise RemoteError when nobody opens. Blocks for as long as that takes.

        A server that has too much to do right now is not taken for one that refuses.
        """
        client = DeepgramClient(api_key=self._key, environment=self._environment)
        try:
            with client.listen.v1.connect(**self._options, sample_rate=sample_rate):
                pass
        except Exception as error:  # the SDK and the libraries below it raise whatever a network leads to
            found = self.explain(error)
            if found.lasts or _status_and_headers(error)[0] is None:
                raise found from None

    def explain(self, error: BaseException) -> RemoteError:
        """What went wrong. The SDK's own error is not shown: it holds the request's headers."""
        status, headers = _status_and_headers(error)
        if status is None:
            return unreachable(SERVICE, ROLE, self.url, error)
        detail = self._public(headers.get("dg-error"))
        return refused(SERVICE, ROLE, status, detail=detail, retry_after=retry_after_of(headers))

    def explain_end(self, error: BaseException | None) -> RemoteError:
        """Why a connection that was open ended."""
        close = getattr(error, "rcvd", None)
        return broken(SERVICE, detail=self._public(close.reason) if close is not None else "")

    def _public(self, said: str | None) -> str:
        return (said or "").replace(self._key, "***")[:200]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _status_and_headers(error: BaseException) -> tuple[int | None, Mapping[str, str]]:
    """Of a refused handshake. The SDK keeps the answer's headers only in the cause of its own error."""
    cause = error.__context__ if isinstance(error, ApiError) and error.__context__ is not None else error
    response = getattr(cause, "response", cause)  # websockets has two forms, an old and a new one
    status = getattr(response, "status_code", None)
    if not isinstance(status, int):
        return None, {}
    return status, getattr(response, "headers", None) or {}
