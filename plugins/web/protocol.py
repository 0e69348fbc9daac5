"""The live protocol's messages, as docs/protocol.md describes them: packed, unpacked, checked."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SUBPROTOCOL = "animacy.v1"
LABEL = "animacy"
RTVI_LABEL = "rtvi-ai"
MAX_TEXT = 64 * 1024
MAX_BINARY = 16 + 512 * 1024
"""Longest messages a client may send, in bytes."""

_HEADER = struct.Struct("<BBHIq")


class ProtocolError(ValueError):
    """A message that is not of this protocol."""


class Kind(IntEnum):
    """What a binary message carries."""

    VIDEO = 1
    SOUND = 2
    MICROPHONE = 16
    CAMERA = 17
    SCREEN = 18


class Flag(IntFlag):
    """Bits of a binary message's second byte."""

    KEY = 1


class CloseCode(IntEnum):
    """Why a socket was closed."""

    ENDED = 1000
    NOT_THIS_PROTOCOL = 4000
    BUSY = 4001
    REPLACED = 4002
    TIME_LIMIT = 4003
    TOO_SLOW = 4004
    CLOSING = 4005


@dataclass(frozen=True, slots=True)
class Packet:
    """One binary message; `pts` in microseconds, `turn` 0 when nobody speaks."""

    kind: Kind
    payload: bytes
    pts: int = 0
    turn: int = 0
    sequence: int = 0
    key: bool = False

    def pack(self) -> bytes:
        """As it is sent."""
        flags = Flag.KEY if self.key else 0
        header = _HEADER.pack(self.kind, flags, self.turn & 0xFFFF, self.sequence & 0xFFFFFFFF, self.pts)
        return header + self.payload

    @classmethod
    def unpack(cls, data: bytes) -> Packet:
        """Raises ProtocolError."""
        if len(data) < _HEADER.size:
            raise ProtocolError(f"a binary message of {len(data)} bytes has no header")
        kind, flags, turn, sequence, pts = _HEADER.unpack_from(data)
        try:
            known = Kind(kind)
        except ValueError:
            raise ProtocolError(f"unknown kind {kind}") from None
        return cls(known, data[_HEADER.size :], pts, turn, sequence, bool(flags & Flag.KEY))


class Data(BaseModel):
    """The data of a message; what a newer client may add is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Hello(Data):
    """A client's first message."""

    session: Annotated[str | None, Field(max_length=128)] = None
    video: Annotated[tuple[str, ...], Field(max_length=16)] = ("h264",)
    audio: Annotated[tuple[str, ...], Field(max_length=16)] = ("pcm",)
    microphone: Literal["pcm", "opus"] = "pcm"
    about: Annotated[str, Field(max_length=500)] = ""


def message(kind: str, **data: Any) -> dict[str, Any]:
    """A text message of this protocol."""
    return {"label": LABEL, "type": kind, "data": data}


def parse(text: str) -> dict[str, Any]:
    """A text message: a dict with `label`, `type` and `data` (a dict). Raises ProtocolError."""
    if len(text) > MAX_TEXT:
        raise ProtocolError("a text message is too long")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("a text message is not JSON") from None
    return check(found)


def check(found: Any) -> dict[str, Any]:
    """The same for a message that was read from its JSON already. Raises ProtocolError."""
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise ProtocolError("a text message has no type")
    if found.get("label") not in (LABEL, RTVI_LABEL):
        raise ProtocolError("a text message has no known label")
    if not isinstance(found.setdefault("data", {}), dict):
        # RTVI allows a message without data.
        if found["data"] is not None:
            raise ProtocolError("the data of a text message is not an object")
        found["data"] = {}
    return found


def parse_hello(text: str) -> Hello:
    """A client's first message. Raises ProtocolError."""
    found = parse(text)
    if found["label"] != LABEL or found["type"] != "hello":
        raise ProtocolError("the first message must be hello")
    try:
        return Hello.model_validate(found["data"])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ProtocolError(f"hello: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
