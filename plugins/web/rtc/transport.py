"""RtcTransport: one visitor over WebRTC, as the pipeline sees it."""

from __future__ import annotations

import asyncio
from typing import Any

from animacy.core.pipeline.metrics import Metrics
from animacy.core.threads import worker
from animacy.core.video.contract import VideoFormat
from animacy.plugins.web.narration import Narrator
from animacy.plugins.web.protocol import CloseCode, ProtocolError, check, message
from animacy.plugins.web.rtc.connection import CharacterConnection
from animacy.plugins.web.rtc.ears import RtcEars
from animacy.plugins.web.rtc.output import RtcStage
from animacy.plugins.web.rtc.playout import Playout, PlayoutCounts
from animacy.plugins.web.visitor import Conversation

USUAL_DELAY = 0.15
"""Seconds until a chunk is heard at the client, before it has told."""
GOOD_BYE_SECONDS = 0.1
"""The last words over the data channel need a moment to leave before the connection is closed."""


class RtcTransport(Conversation):
    """Satisfies animacy.core.pipeline.transport.LiveTransport.

    The visit ends with the connection; a client that changes networks renegotiates instead. Like a socket, the
    connection outlives the conversation by the last words: whoever answered the offer must `hang_up`.

    Parameters:
        connection: whose offer was answered, or will be.
        input_rate: of the pipeline's input, in Hz.
        metrics: what the client measures goes there.
        character: `name` and `language`, for the welcome.
    """

    away = False

    def __init__(
        self, connection: CharacterConnection, input_rate: int, metrics: Metrics, character: dict[str, str]
    ) -> None:
        self._ears = RtcEars(input_rate, connection)
        super().__init__(self._ears, metrics, USUAL_DELAY)
        self._token = connection.pc_id
        self._connection, self._character = connection, character
        self._stage: RtcStage | None = None
        self._playout: Playout | None = None
        self._pen = worker("rtc encoder")
        self._connected, self._done = asyncio.Event(), asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None
        for event, handler in {
            "connected": self._on_connected,
            "closed": self._on_gone,
            "failed": self._on_gone,
            "app-message": self._on_message,
        }.items():
            connection.add_event_handler(event, handler)
        self._note_state()

    @property
    def token(self) -> str:
        """Names this visit; it is the id of its first connection."""
        return self._token

    @property
    def counts(self) -> PlayoutCounts:
        """What did not leave."""
        return self._playout.counts if self._playout is not None else PlayoutCounts()

    def input(self) -> RtcEars:
        """The microphone."""
        return self._ears

    def output(self) -> RtcStage:
        """What is seen and heard."""
        assert self._stage is not None, "open() comes first"
        return self._stage

    async def open(self, video: VideoFormat) -> None:
        """Make ready to send."""
        self._playout = Playout(video)
        narrator = Narrator(video, self._send, lambda: self.playout_delay)
        self._stage = RtcStage(self._playout, narrator, self._connected, self._send)
        self._connection.perform(self._playout, video, self._pen)
        self._send(message("welcome", **self._welcome(video)))

    async def wait_done(self) -> None:
        """Return when the visitor has said good-bye or the connection is gone."""
        await self._done.wait()

    async def close(self) -> None:
        """Nobody is waited for any more. The connection is closed by `hang_up`."""
        self.leave()

    def leave(self) -> None:
        """The visit is over."""
        self._done.set()

    def say_good_bye(self, reason: str, text: str, code: CloseCode = CloseCode.ENDED) -> None:
        """The conversation has ended: tell the visitor, if there is one, and hang up without waiting for it."""
        self.leave()
        if self._leaving is None:
            self._send(message("bye", reason=reason, message=text))
            self._leaving = asyncio.create_task(self._hang_up(), name="rtc hang up")

    async def hang_up(self) -> None:
        """Close the connection and let go of everything. May be called twice."""
        self.say_good_bye("closing", "")
        if self._leaving is not None:
            await self._leaving

    def _welcome(self, video: VideoFormat) -> dict[str, Any]:
        codec = self._connection.video_codec
        return {
            "session": self._connection.pc_id,
            "resumed": False,
            "character": self._character,
            "grace": 0,
            "video": {"codec": codec, "width": video.width, "height": video.height, "fps": video.fps},
            "audio": {"codec": "opus", "sample_rate": video.sample_rate},
        }

    def _send(self, text: dict[str, Any]) -> bool:
        if self._leaving is None:
            self._connection.send_app_message(text)
        return self._leaving is None

    async def _hang_up(self) -> None:
        if self._connection.pc.connectionState == "connected":
            await asyncio.sleep(GOOD_BYE_SECONDS)
        await self._connection.hang_up()
        await asyncio.to_thread(self._pen.shutdown)

    def _note_state(self) -> None:
        """The connection may have been made, or lost, before anybody listened to its events."""
        state = self._connection.pc.connectionState
        if state == "connected":
            self._connected.set()
        elif state in ("closed", "failed"):
            self._done.set()

    async def _on_connected(self, _: CharacterConnection) -> None:
        self._connected.set()

    async def _on_gone(self, _: CharacterConnection) -> None:
        self._done.set()

    async def _on_message(self, _: CharacterConnection, found: Any) -> None:
        try:
            text = check(found)
        except ProtocolError:
            self.junk += 1
            return
        await self.take_text(text)
