"""What goes between aiortc's senders and the receiver beside the media.

aiortc offers no place for either, so two of a sender's coroutines are replaced; a test with a real peer holds both.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aiortc import RTCRtpSender
from aiortc.clock import datetime_to_ntp
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)

from animacy.plugins.web.rtc.clock import MediaClock
from animacy.plugins.web.rtc.tracks import PictureTrack, SoundTrack


def report_on_one_clock(sender: RTCRtpSender, track: SoundTrack | PictureTrack, clock: MediaClock) -> None:
    """Let the sender reports of sound and picture say when a packet was due, not when it happened to leave.

    A receiver keeps lips and voice together by these reports. aiortc stamps them with the moment of sending, which for
    a picture includes its encoding: the picture would be shown that much too late.
    """
    send = sender._send_rtcp

    async def send_rtcp(packets: list[AnyRtcpPacket]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket) and track.sent is not None:
                moment = datetime.fromtimestamp(clock.wall(track.sent), UTC)
                packet.sender_info.ntp_timestamp = datetime_to_ntp(moment)
        await send(packets)

    sender._send_rtcp = send_rtcp  # type: ignore[method-assign]  # the only place to reach the reports


def follow_receiver(sender: RTCRtpSender, track: PictureTrack) -> None:
    """Tell the track of the receiver's wishes: aiortc passes them only to encoders of its own."""
    handle = sender._handle_rtcp_packet

    async def handle_rtcp_packet(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpPsfbPacket):
            _take_feedback(packet, track)
        elif isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == sender._ssrc:
                    track.lost(report.fraction_lost / 256)
        await handle(packet)

    sender._handle_rtcp_packet = handle_rtcp_packet  # type: ignore[method-assign]  # the only place to hear the receiver


def _take_feedback(packet: RtcpPsfbPacket, track: PictureTrack) -> None:
    if packet.fmt in (RTCP_PSFB_FIR, RTCP_PSFB_PLI):
        track.want_key_frame()
    elif packet.fmt == RTCP_PSFB_APP:
        try:
            bits, _ = unpack_remb_fci(packet.fci)
        except ValueError:
            return  # some other application's feedback
        track.estimated(bits)
