"""The peer connection: Pipecat's, with the character's tracks in it and nothing decoded that nobody asked for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import aioice.ice
from aiortc import RTCIceServer, RTCRtpSender
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection

from animacy.core.video.contract import VideoFormat
from animacy.plugins.web.rtc.playout import Playout
from animacy.plugins.web.rtc.reports import follow_receiver, report_on_one_clock
from animacy.plugins.web.rtc.tracks import PictureTrack, SoundTrack

CONNECT_SECONDS = 20
BACKLOG_BYTES = 256 * 1024
"""Text that a client may leave unread; what comes beyond it is dropped."""

_WITH_CREDENTIALS = re.compile(r"(turns?):([^:@]+):([^@]+)@(.+)")
_host_addresses = aioice.ice.get_host_addresses


def _addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """This machine's addresses; the loopback one where there is no other, so that a demo runs without a network."""
    return _host_addresses(use_ipv4, use_ipv6) or ["127.0.0.1"]


# aioice leaves the loopback address out and has no setting for it.
aioice.ice.get_host_addresses = _addresses


class CharacterConnection(SmallWebRTCConnection):
    """One visitor's peer connection. VP8 is preferred, for it costs a third of what H.264 does here.

    Its events are Pipecat's: "connected", "closed", "failed", "app-message", "track-started".

    Parameters:
        ice_servers: addresses of STUN and TURN servers; none on one network.
    """

    def __init__(self, ice_servers: Sequence[str] = ()) -> None:
        self._performance: tuple[Playout, VideoFormat, ThreadPoolExecutor] | None = None
        self._pictures: PictureTrack | None = None
        super().__init__(
            ice_servers=[ice_server(address) for address in ice_servers], connection_timeout_secs=CONNECT_SECONDS
        )
        # Pipecat waits for its transport before it tells of a connection; here whoever wants to know has asked by then.
        self._connect_invoked = True

    def perform(self, playout: Playout, video: VideoFormat, pen: ThreadPoolExecutor) -> None:
        """Send what this playout gives; `pen` encodes the pictures."""
        self._performance = playout, video, pen
        self._attach()

    @property
    def video_codec(self) -> str:
        """What was agreed upon for the pictures, lower case; "vp8" before anything was."""
        codecs = self._pc.getTransceivers()[1]._codecs
        return str(codecs[0].name).lower() if codecs else "vp8"

    async def renegotiate(self, sdp: str, type: str, restart_pc: bool = False) -> None:
        """Take a new offer of the same client."""
        await super().renegotiate(sdp, type, restart_pc)

    def send_app_message(self, message: Any) -> None:
        """Send a text message, or keep it until the channel opens."""
        channel = self._data_channel
        if channel is None or channel.bufferedAmount < BACKLOG_BYTES:
            super().send_app_message(message)

    async def hang_up(self) -> None:
        """Close everything. May be called twice."""
        renegotiation = getattr(self, "_renegotiation_task", None)
        if renegotiation is not None:
            renegotiation.cancel()
        await self.disconnect()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped

    def _initialize(self) -> None:
        super()._initialize()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        # Made before the offer is read, so that the offer's order of codecs does not decide.
        self._pc.addTransceiver("audio", direction="sendrecv")
        pictures = self._pc.addTransceiver("video", direction="sendrecv")
        codecs = RTCRtpSender.getCapabilities("video").codecs
        pictures.setCodecPreferences(sorted(codecs, key=lambda codec: codec.mimeType != "video/VP8"))
        self._attach()

    def _attach(self) -> None:
        if self._performance is None:
            return
        playout, video, pen = self._performance
        sound, pictures = (transceiver.sender for transceiver in self._pc.getTransceivers()[:2])
        voice, self._pictures = SoundTrack(playout, video), PictureTrack(playout, video, pen)
        report_on_one_clock(sound, voice, playout.clock)
        report_on_one_clock(pictures, self._pictures, playout.clock)
        follow_receiver(pictures, self._pictures)
        self._choose_codec()
        sound.replaceTrack(voice)
        pictures.replaceTrack(self._pictures)

    def _choose_codec(self) -> None:
        if self._pictures is not None:
            self._pictures.codec = "h264" if self.video_codec == "h264" else "vp8"

    async def _create_answer(self, sdp: str, type: str) -> None:
        await super()._create_answer(sdp, type)
        self._choose_codec()
        for transceiver in self._pc.getTransceivers():
            # Negotiating makes a receiver decode into a queue without end. Pipecat's track enables it on demand.
            transceiver.receiver._enabled = False
        for index, track in list(self._track_map.items()):
            if track is not None and track._track is None:
                del self._track_map[index]  # wrapped before the client sent anything there

    async def _handle_new_connection_state(self) -> None:
        await super()._handle_new_connection_state()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        if self._pc.connectionState == "connected":
            early, self._pending_app_messages = self._pending_app_messages, []
            for message in early:
                await self._call_event_handler("app-message", message)


def ice_server(address: str) -> RTCIceServer:
    """A server from its address: stun:HOST:PORT, or turn:USER:PASSWORD@HOST:PORT (also turns:)."""
    found = _WITH_CREDENTIALS.fullmatch(address)
    if found is None:
        return RTCIceServer(urls=address)
    scheme, user, password, place = found.groups()
    return RTCIceServer(urls=f"{scheme}:{place}", username=unquote(user), credential=unquote(password))


async def hang_up_all(connections: Sequence[CharacterConnection]) -> None:
    """Close them at once."""
    await asyncio.gather(*(connection.hang_up() for connection in connections), return_exceptions=True)
