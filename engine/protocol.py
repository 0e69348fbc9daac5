"""What an engine process and its callers say to each other over a local socket.

A message is two lengths (4 bytes each, big-endian), a JSON object of the first length, and a binary payload of the
second. Each message is one dataclass below; the object holds its fields and its name in lower case as "type". Frames
travel through shared memory (`animacy.engine.frame_ring`) and never through the socket. Needs no PyTorch.
"""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias, get_type_hints

from animacy.engine.errors import EngineError

VERSION = 1
_LENGTHS = struct.Struct("!II")
_MOST_JSON, _MOST_PAYLOAD = 1 << 16, 1 << 26


class ProtocolError(EngineError):
    """The other side said something that this side does not understand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Engine, first of all: the version of the protocol."""

    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Engine, while it loads and warms up: what it does, and the share of all that is done, 0 to 1."""

    text: str
    done: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Engine, once it can draw: what it draws. `frames` are those of an iteration."""

    preset: str
    height: int
    width: int
    fps: int
    frames: int
    capacity: int
    random_weights: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Engine, before it hangs up: why it cannot go on."""

    error: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """Caller: take a character in. Payload: its picture, height x width x 3 bytes RGB of the engine's size.

    `id` comes back with the answer. Speech will have `sample_rate` Hz, of which an iteration must last whole samples.
    """

    id: int
    sample_rate: int
    seed: int
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Engine: the character's number, and its shared memory, `slots` chunks of (frames, height, width, 3) bytes.

    `samples` of speech belong to an iteration; `look_ahead` more are listened to if they are known.
    """

    id: int
    session: int
    memory: str
    samples: int
    look_ahead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """Caller: it has opened the shared memory, whose name is now taken away, so that nothing can be left behind."""

    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Engine: why the request `id` is not granted."""

    id: int
    error: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Caller: draw the next chunk into `slot`. Payload: its speech and what follows it, int16, little-endian.

    The payload is empty for silence. A slot may be named again once its frames were read.
    """

    session: int
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Engine: the chunk is in `slot`. Answers come in the order of the requests."""

    session: int
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """Caller: what was asked for and is not drawn yet shall be silent."""

    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Caller: the character is gone. Hanging up releases all of a caller's."""

    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Caller: how are you?"""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Engine: sessions it has and can have, milliseconds an iteration (0 before the first), bytes of memory.

    `memory` holds, for each device, `allocated`, `peak` and `total`.
    """

    id: int
    preset: str
    sessions: int
    capacity: int
    iteration_ms_p50: float
    iteration_ms_p99: float
    memory: dict[str, dict[str, int]] = field(default_factory=dict)


Message: TypeAlias = (
    Hello
    | Progress
    | Ready
    | Failed
    | Admit
    | Admitted
    | Attached
    | Refused
    | Step
    | Frames
    | Interrupt
    | Release
    | Ask
    | Health
)

_KINDS: dict[str, type[Any]] = {kind.__name__.lower(): kind for kind in Message.__args__}


def _types(kind: type[Any]) -> dict[str, Any]:
    """What each field may be; a whole number will do for any number."""
    hints = get_type_hints(kind)
    plain = {name: dict if getattr(hint, "__origin__", None) is dict else hint for name, hint in hints.items()}
    return {name: float | int if hint is float else hint for name, hint in plain.items()}


_TYPES = {kind: _types(kind) for kind in _KINDS.values()}


def encode(message: Message, payload: bytes = b"") -> bytes:
    """The bytes of a message."""
    head = json.dumps({"type": type(message).__name__.lower(), **asdict(message)}).encode()
    return _LENGTHS.pack(len(head), len(payload)) + head + payload


async def receive(reader: asyncio.StreamReader) -> tuple[Message, bytes] | None:
    """The next message and its payload; None when the other side has hung up.

    Raises:
        ProtocolError: it is none of the messages, or beyond all measure.
    """
    try:
        head_length, payload_length = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
        if head_length > _MOST_JSON or payload_length > _MOST_PAYLOAD:
            raise ProtocolError(f"a message of {head_length} + {payload_length} bytes is too long")
        head = await reader.readexactly(head_length)
        return _decode(head), await reader.readexactly(payload_length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _decode(head: bytes) -> Message:
    try:
        fields = json.loads(head)
        kind = _KINDS[fields.pop("type")]
        message: Message = kind(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"not a message: {head[:80]!r}", "use the same version of Animacy on both sides") from error
    for name, allowed in _TYPES[kind].items():
        if not isinstance(getattr(message, name), allowed):
            raise ProtocolError(f"{name} of {kind.__name__.lower()} is {getattr(message, name)!r}")
    return message
