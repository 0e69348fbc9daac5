"""Where Cartesia is, how a connection to it is opened, what a request says, and what its refusals mean."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

from cartesia import AsyncCartesia, Cartesia
from cartesia.lib import _tts
from pipecat.services.cartesia.tts import language_to_cartesia_language
from pipecat.transcriptions.language import Language
from websockets.exceptions import InvalidStatus

from animacy.core.pipeline.remote import RemoteError, broken, refused, retry_after_of, unreachable
from animacy.plugins.cartesia import CartesiaSettings

SERVICE, ROLE = "Cartesia", "tts"

Connection = _tts.AsyncTTSResourceConnection


class Server:
    """A Cartesia server as the settings describe it. Making one opens nothing.

    Parameters:
        settings: the recipe's.
        voice: a voice's id.
        language: a BCP 47 tag.
    """

    def __init__(self, settings: CartesiaSettings, voice: str, language: str) -> None:
        self._key = settings.api_key.get_secret_value()
        self.url = settings.base_url.rstrip("/")
        self._request: dict[str, Any] = {
            "model_id": settings.model,
            "voice": {"mode": "id", "id": voice},
            "language": _language(language),
            "add_timestamps": True,
            "add_phoneme_timestamps": settings.visemes,
            "use_normalized_timestamps": False,
            "max_buffer_delay_ms": 0,  # what is sent are whole clauses already
        }
        manner = {"speed": settings.speed, "volume": settings.volume, "emotion": settings.emotion}
        if any(manner.values()):
            self._request["generation_config"] = {name: value for name, value in manner.items() if value is not None}

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        """A connection. Entering it raises what `explain` explains."""
        client = AsyncCartesia(api_key=self._key, base_url=self.url, websocket_base_url=self._socket_url)
        return client.tts.websocket_connect()

    def check(self) -> None:
        """Knock, and raise RemoteError when nobody opens. Blocks for as long as that takes.

        A server that has too much to do right now is not taken for one that refuses.
        """
        client = Cartesia(api_key=self._key, base_url=self.url, websocket_base_url=self._socket_url)
        try:
            with client.tts.websocket_connect():
                pass
        except Exception as error:  # the SDK and the libraries below it raise whatever a network leads to
            found = self.explain(error)
            if found.lasts or not isinstance(error, InvalidStatus):
                raise found from None

    def request(self, context: str, transcript: str, sample_rate: int, *, goes_on: bool) -> dict[str, Any]:
        """A message that asks for speech, mono 16-bit."""
        sound = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": sample_rate}
        said = {"transcript": transcript, "context_id": context, "continue": goes_on}
        return {**self._request, **said, "output_format": sound}

    def explain(self, error: BaseException) -> RemoteError:
        """Why no connection was made."""
        if not isinstance(error, InvalidStatus):
            return unreachable(SERVICE, ROLE, self.url, error)
        response = error.response
        try:
            said = json.loads(response.body or b"")
        except ValueError:
            said = {}
        return self.refusal(response.status_code, said, retry_after_of(response.headers))

    def explain_end(self, error: BaseException | None) -> RemoteError:
        """Why a connection that was open ended."""
        close = getattr(error, "rcvd", None)
        return broken(SERVICE, detail=self._public(close.reason) if close is not None else "")

    def refusal(self, status: int, said: object, retry_after: float | None = None) -> RemoteError:
        """What an error object of the API means."""
        parts = [said.get("title"), said.get("message")] if isinstance(said, dict) else []
        detail = self._public(": ".join(part for part in parts if isinstance(part, str) and part))
        return refused(SERVICE, ROLE, status, detail=detail, retry_after=retry_after)

    @property
    def _socket_url(self) -> str:
        return "ws" + self.url.removeprefix("http")

    def _public(self, said: str | None) -> str:
        return (said or "").replace(self._key, "***")[:200]


def _language(tag: str) -> str:
    try:
        return language_to_cartesia_language(Language(tag))
    except ValueError:
        return tag  # the server knows best
