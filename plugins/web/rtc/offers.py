"""Answers a browser's offers: the first of each makes a connection, later ones add a camera or restart it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from weakref import WeakSet

from loguru import logger
from pydantic import Field, ValidationError

from animacy.plugins.web.protocol import Data, ProtocolError
from animacy.plugins.web.rtc.connection import CharacterConnection, hang_up_all
from animacy.plugins.web.rtc.transport import RtcTransport

MAX_SDP = 64 * 1024


class Offer(Data):
    """What is posted to /api/offer, as Pipecat's client does it."""

    sdp: Annotated[str, Field(max_length=MAX_SDP)]
    type: Literal["offer"] = "offer"
    pc_id: Annotated[str | None, Field(max_length=128)] = None
    restart_pc: bool | None = None


class Answer(Data):
    """What is answered; `pc_id` belongs into later offers of the same conversation."""

    sdp: str
    type: str
    pc_id: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """An answer, and the connection if it is a new one that a conversation shall be held over."""

    answer: Answer
    connection: CharacterConnection | None


class Offers:
    """Keeps the connections that are open, by their id.

    Parameters:
        ice_servers: addresses of STUN and TURN servers for new connections.
    """

    def __init__(self, ice_servers: Sequence[str] = ()) -> None:
        self._ice_servers = tuple(ice_servers)
        self._connections: dict[str, CharacterConnection] = {}
        self._visits: WeakSet[RtcTransport] = WeakSet()

    def knows(self, offer: Offer) -> bool:
        """Whether the offer belongs to a conversation that is held already, so that no room is needed for it."""
        return offer.pc_id in self._connections

    async def answer(self, offer: Offer) -> Agreement:
        """Negotiate. Raises ProtocolError when the offer is not understood."""
        known = self._connections.get(offer.pc_id or "")
        connection = known or CharacterConnection(self._ice_servers)
        try:
            if known is None:
                await connection.initialize(offer.sdp, offer.type)
            else:
                await known.renegotiate(offer.sdp, offer.type, restart_pc=bool(offer.restart_pc))
            found = connection.get_answer()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
            answer = Answer.model_validate(found)
        except Exception as error:  # whatever aiortc's parser stumbles over was written by the client
            logger.debug(f"an offer was not understood: {error!r}")
            if known is None:
                await connection.hang_up()
            raise ProtocolError("the offer is not understood") from error
        self._remember(connection, offer.pc_id)
        return Agreement(answer, connection if known is None else None)

    def hold(self, visit: RtcTransport) -> None:
        """Wait for this visit to hang up when everything is closed."""
        self._visits.add(visit)

    async def close(self) -> None:
        """Hang up on everybody."""
        await asyncio.gather(*(visit.hang_up() for visit in set(self._visits)))
        connections = list(self._connections.values())
        self._connections.clear()
        await hang_up_all(connections)

    def _remember(self, connection: CharacterConnection, previous: str | None) -> None:
        if self._connections.get(previous or "") is connection:
            del self._connections[previous or ""]  # a restart gives a new id
        elif connection not in self._connections.values():
            connection.add_event_handler("closed", self._forget)
        self._connections[connection.pc_id] = connection

    async def _forget(self, connection: CharacterConnection) -> None:
        self._connections.pop(connection.pc_id, None)


def parse_offer(body: str) -> Offer:
    """The body of a request. Raises ProtocolError."""
    try:
        return Offer.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ProtocolError(f"offer: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
