"""What every visit has in common, whatever connection it is held over: the client's messages, and what it is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from animacy.core.pipeline.metrics import Metrics
from animacy.core.report import TurnReport
from animacy.core.vision.contract import PictureSource
from animacy.plugins.web.ears import Ears
from animacy.plugins.web.protocol import LABEL, message

LONGEST_DELAY = 2.0
FOLLOW = 0.3
"""How far the delay goes towards what the client told last."""


class Conversation(ABC):
    """The part of animacy.core.pipeline.transport.LiveTransport that is the same for all connections.

    Parameters:
        ears: the input end.
        metrics: what the client measures goes there.
        usual_delay: seconds until a chunk is heard at the client, before it has told.
    """

    greets = True

    def __init__(self, ears: Ears, metrics: Metrics, usual_delay: float) -> None:
        self.playout_delay = usual_delay
        self.junk = 0
        self._listening, self._measured = ears, metrics
        self._handlers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "ping": lambda data: self._send(message("pong", t=data.get("t"))),
            "stats": self._take_stats,
            "flushed": metrics.flushed,
            "bye": lambda _: self.leave(),
            "looked_away": lambda data: ears.look_away("screen" if data.get("source") == "screen" else "camera"),
        }

    @property
    @abstractmethod
    def token(self) -> str:
        """Names the conversation."""

    @abstractmethod
    def leave(self) -> None:
        """The visit is over."""

    @abstractmethod
    def _send(self, text: dict[str, Any]) -> bool:
        """Send a text message; False when nobody is there to take it."""

    async def take_text(self, text: dict[str, Any]) -> None:
        """A text message of the client. What is not known is ignored."""
        if text["label"] != LABEL:
            await self._listening.take_message(text)
        elif text["type"] == "interrupt":
            await self._listening.interrupt()
        elif (handle := self._handlers.get(text["type"])) is not None:
            handle(text["data"])

    def note_turn(self, turn: TurnReport) -> None:
        """Show the visitor where the time of the turn went."""
        self._send(message("waterfall", **turn.model_dump(mode="json")))

    def tell(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Send a message of the character to the page; False when nobody is there."""
        return self._send(message(kind, **data))

    async def look(self, source: PictureSource) -> Image.Image | None:
        """The newest picture that the visitor shows."""
        return await self._listening.look(source)

    def _take_stats(self, data: dict[str, Any]) -> None:
        self._measured.client_stats(data, self.token)
        buffered, rtt = data.get("buffer_ms"), data.get("rtt_ms")
        if isinstance(buffered, int | float) and isinstance(rtt, int | float):
            delay = (buffered + rtt / 2) / 1000
            if 0 <= delay <= LONGEST_DELAY:
                self.playout_delay += FOLLOW * (delay - self.playout_delay)
