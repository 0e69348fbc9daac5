"""One visitor: a conversation that outlives the connection it is held over."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Protocol

from animacy.core.pipeline.metrics import Metrics
from animacy.core.pipeline.transport import LiveTransport
from animacy.core.video.contract import VideoFormat
from animacy.core.vision.contract import PictureSource
from animacy.plugins.web.ears import Ears
from animacy.plugins.web.encoder import AudioCodec, SoundDecoder, VideoCodec
from animacy.plugins.web.link import Link
from animacy.plugins.web.protocol import CloseCode, Hello, Kind, Packet, ProtocolError, message
from animacy.plugins.web.stage import Stage
from animacy.plugins.web.visitor import Conversation

USUAL_DELAY = 0.12
"""Seconds until a chunk is heard at the client, before it has told."""
_SOURCES: dict[Kind, PictureSource] = {Kind.CAMERA: "camera", Kind.SCREEN: "screen"}


class Visitor(LiveTransport, Protocol):
    """Somebody the server talks to, over whatever connection."""

    @property
    def token(self) -> str:
        """Names the conversation."""
        ...

    @property
    def away(self) -> bool:
        """Whether nobody is connected just now."""
        ...

    def leave(self) -> None:
        """The visit is over."""
        ...

    def say_good_bye(self, reason: str, text: str, code: CloseCode) -> None:
        """The conversation has ended: tell whoever is still connected, and hang up."""
        ...


class Visit(Conversation):
    """Satisfies animacy.core.pipeline.transport.LiveTransport.

    The connection may break and be taken up again within `grace` seconds; meanwhile the character goes on.

    Parameters:
        input_rate: of the pipeline's input, in Hz.
        grace: seconds a visitor may stay away.
        metrics: what the client measures goes there.
    """

    def __init__(self, input_rate: int, grace: float, metrics: Metrics) -> None:
        self._ears = Ears(input_rate)
        super().__init__(self._ears, metrics, USUAL_DELAY)
        self._handlers["keyframe"] = lambda _: self.output().want_key_frame()
        self._token = secrets.token_urlsafe(18)
        self._rate, self._grace, self._metrics = input_rate, grace, metrics
        self._stage: Stage | None = None
        self._link: Link | None = None
        self._done = asyncio.Event()
        self._opened = asyncio.Event()
        self._away: asyncio.TimerHandle | None = None
        self._decoder: SoundDecoder | None = None
        self._visited = False

    @property
    def token(self) -> str:
        """Names the conversation."""
        return self._token

    @property
    def away(self) -> bool:
        """Whether nobody is connected just now."""
        return self._link is None

    @property
    def over(self) -> bool:
        """Whether the conversation has ended, or is about to."""
        return self._done.is_set()

    def input(self) -> Ears:
        """The microphone."""
        return self._ears

    def output(self) -> Stage:
        """What is seen and heard."""
        assert self._stage is not None, "open() comes first"
        return self._stage

    async def open(self, video: VideoFormat) -> None:
        """Make ready to send."""
        self._stage = Stage(video, lambda: self.playout_delay)
        self._opened.set()

    async def wait_done(self) -> None:
        """Return when the visitor has said good-bye or stayed away too long."""
        await self._done.wait()

    async def close(self) -> None:
        """Nobody is waited for any more. The connection is the server's to close."""
        self.leave()

    def leave(self) -> None:
        """The visit is over."""
        self._stop_waiting()
        self._done.set()

    def say_good_bye(self, reason: str, text: str, code: CloseCode) -> None:
        """The conversation has ended: tell whoever is still connected, and hang up."""
        self.leave()
        self._opened.set()
        link, self._link = self._link, None
        if link is not None:
            link.tell(message("bye", reason=reason, message=text))
            link.hang_up(code, reason)

    async def attach(self, link: Link, hello: Hello, character: dict[str, Any]) -> None:
        """Go on over this connection; an older one is closed. Raises ProtocolError when nothing suits the client."""
        await self._opened.wait()
        if self._stage is None or self._done.is_set():
            raise ProtocolError("the conversation could not begin")
        stage = self._stage
        formats = choose_formats(hello)
        self._stop_waiting()
        older, self._link = self._link, link
        self._decoder = SoundDecoder(self._rate) if hello.microphone == "opus" else None
        resumed, self._visited = self._visited, True
        if resumed:
            self._metrics.resumed()
        welcome = {"session": self.token, "resumed": resumed, "character": character, "grace": self._grace}
        link.tell(message("welcome", **welcome, **stage.attach(link, *formats)))
        link.tell(message("state", state=stage.state.value))
        if older is not None:
            await older.close(CloseCode.REPLACED)

    def detach(self, link: Link) -> None:
        """This connection broke: wait for another one."""
        if self._stage is not None:
            self._stage.detach(link)
        if self._link is link:
            self._link = None
            self._ears.look_away("camera")
            self._ears.look_away("screen")
            self._stop_waiting()
            self._away = asyncio.get_running_loop().call_later(self._grace, self.leave)

    async def take_binary(self, data: bytes) -> None:
        """A binary message of the client. Raises ProtocolError."""
        packet = Packet.unpack(data)
        if packet.kind is Kind.MICROPHONE:
            self._ears.hear(self._samples(packet.payload))
        elif (source := _SOURCES.get(packet.kind)) is not None:
            self._ears.see(source, packet.payload)
        else:
            raise ProtocolError(f"a client sends no {packet.kind.name}")

    def _samples(self, payload: bytes) -> bytes:
        if self._decoder is None:
            return payload[: len(payload) // 2 * 2]
        try:
            return self._decoder.decode(payload)
        except ValueError as error:
            raise ProtocolError(str(error)) from None

    def _send(self, text: dict[str, Any]) -> bool:
        if self._link is not None:
            self._link.tell(text)
        return self._link is not None

    def _stop_waiting(self) -> None:
        if self._away is not None:
            self._away.cancel()
            self._away = None


def choose_formats(hello: Hello) -> tuple[VideoCodec, AudioCodec]:
    """The first of the client's codecs that is known here. Raises ProtocolError."""
    videos: tuple[VideoCodec, ...] = ("h264", "vp8")
    audios: tuple[AudioCodec, ...] = ("opus", "pcm")
    video = next((known for wanted in hello.video for known in videos if wanted == known), None)
    audio = next((known for wanted in hello.audio for known in audios if wanted == known), None)
    if video is None or audio is None:
        raise ProtocolError(f"no common format: video {', '.join(videos)}; audio {', '.join(audios)}")
    return video, audio
