"""Daily's REST API, as far as it is needed to get into a room."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from animacy.core.pipeline.remote import broken, refused, retry_after_of, unreachable
from animacy.plugins.daily import DailySettings

SERVICE, ROLE = "Daily", "transport"
TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Room:
    """Where to go. `made` says that it was made for this conversation, and is to be removed after it."""

    url: str
    token: SecretStr | None
    made: bool

    @property
    def name(self) -> str:
        """Daily's name for it."""
        return urlsplit(self.url).path.strip("/")


class Rooms:
    """Makes rooms and tokens, and removes what it made.

    Parameters:
        settings: the recipe's.
        name: what the character is called in the room.
    """

    def __init__(self, settings: DailySettings, name: str) -> None:
        self._settings, self._name = settings, name

    async def take(self) -> Room:
        """The room of the settings, or a new one, with a token where a key allows to make it. Raises RemoteError."""
        chosen = self._settings
        expires = int(time.time() + chosen.room_seconds)
        url = chosen.room
        if url is None:
            properties = {"exp": expires, "eject_at_room_exp": True, "enable_prejoin_ui": False}
            url = _text(await self._call("POST", "rooms", {"properties": properties}), "url")
        room = Room(url, chosen.token, made=chosen.room is None)
        if room.token is not None or chosen.api_key is None:
            return room
        of_token = {"room_name": room.name, "is_owner": True, "user_name": self._name, "exp": expires}
        told = await self._call("POST", "meeting-tokens", {"properties": of_token})
        return Room(url, SecretStr(_text(told, "token")), room.made)

    async def remove(self, room: Room) -> None:
        """Remove a room that was made here; it may be gone already. Raises RemoteError."""
        if room.made:
            await self._call("DELETE", f"rooms/{room.name}", None, missing_ok=True)

    async def _call(self, method: str, path: str, body: Any, *, missing_ok: bool = False) -> Any:
        url = self._settings.base_url.rstrip("/")
        key = self._settings.api_key
        assert key is not None
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"}
        timeout = aiohttp.ClientTimeout(TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
                session.request(method, f"{url}/{path}", json=body) as answer,
            ):
                if answer.status >= 400 and not (missing_ok and answer.status == 404):
                    detail = (await answer.text()).replace(key.get_secret_value(), "***")[:200]
                    raise refused(
                        SERVICE, ROLE, answer.status, detail=detail, retry_after=retry_after_of(answer.headers)
                    )
                return await answer.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise unreachable(SERVICE, ROLE, url, error) from None
        except ValueError:
            raise broken(SERVICE, detail="its answer cannot be read") from None


def _text(told: Any, key: str) -> str:
    value = told.get(key) if isinstance(told, Mapping) else None
    if not isinstance(value, str) or not value:
        raise broken(SERVICE, detail=f"its answer holds no {key}")
    return value
