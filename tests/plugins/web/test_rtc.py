"""The second transport, against a peer of its own in the same process: real ICE, DTLS, SRTP and SCTP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import threading
import time
from fractions import Fraction
from pathlib import Path

import aiohttp
import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSrPacket
from pipecat.frames.frames import (
    InputAudioRawFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputImageRawFrame,
    OutputTransportMessageUrgentFrame,
    TTSTextFrame,
    UserImageRawFrame,
    UserImageRequestFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.smallwebrtc.transport import RawVideoTrack
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.workers.runner import WorkerRunner

from animacy.core.film import read_audio
from animacy.core.pipeline.frames import FlushFrame
from animacy.core.pipeline.metrics import Metrics
from animacy.core.pipeline.processor import CharacterVideoProcessor
from animacy.core.pipeline.transport import LiveTransport
from animacy.core.video.contract import RenderedChunk, VideoFormat
from animacy.plugins.web.protocol import ProtocolError, message
from animacy.plugins.web.rtc.clock import MARGIN, MediaClock
from animacy.plugins.web.rtc.congestion import Congestion
from animacy.plugins.web.rtc.connection import ice_server
from animacy.plugins.web.rtc.offers import Offers, parse_offer
from animacy.plugins.web.rtc.playout import Playout
from animacy.plugins.web.rtc.transport import RtcTransport
from tests.core.test_runner import Card

pytestmark = pytest.mark.realtime

DATA = Path(__file__).parents[2] / "data"
VIDEO = VideoFormat(160, 120, 24, 24_000)
SLOT = 90_000 // 24
WAIT = 20


def tone(seconds, rate=24_000):
    return (np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 440 / rate) * 9000).astype(np.int16)


class Recording(MediaStreamTrack):
    """A microphone that hears these samples (mono, 48 kHz) again and again."""

    kind = "audio"

    def __init__(self, samples):
        super().__init__()
        self.position, self.began = 0, time.monotonic()
        self.play(samples)

    def play(self, samples):
        self.samples, self.start = samples, self.position

    async def recv(self):
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(max(0, self.began + self.position / 48_000 - time.monotonic()))
        piece = np.take(self.samples, range(self.position - self.start, self.position - self.start + 960), mode="wrap")
        frame = av.AudioFrame.from_ndarray(piece[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self.position, Fraction(1, 48_000)
        self.position += 960
        return frame


class Camera(MediaStreamTrack):
    """Shows one colour, ten times a second."""

    kind = "video"

    def __init__(self, colour):
        super().__init__()
        self.picture = np.full((120, 160, 3), colour, np.uint8)
        self.count = 0

    async def recv(self):
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(0.1)
        frame = av.VideoFrame.from_ndarray(self.picture, format="rgb24")
        frame.pts, frame.time_base = 9000 * self.count, Fraction(1, 90_000)
        self.count += 1
        return frame


class Peer:
    """A browser in small: keeps what it sees, hears and is told, and the sender's reports on both."""

    def __init__(self, microphone=None, codecs=()):
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.messages, self.pictures, self.sounds, self.tasks = [], [], [], []
        self.reports, self.first_timestamp = {}, {}
        self.pc_id = None
        self.channel = self.pc.createDataChannel("animacy")
        self.channel.on("message", lambda text: self.messages.append(json.loads(text)))
        self.pc.addTransceiver(microphone or "audio", direction="sendrecv")
        self.pc.addTransceiver("video", direction="sendrecv").setCodecPreferences(list(codecs))
        self.pc.on("track", self._take)

    def _take(self, track):
        receiver = next(t.receiver for t in self.pc.getTransceivers() if t.receiver.track is track)
        self._listen(receiver, track.kind)
        kept = self.pictures if track.kind == "video" else self.sounds
        self.tasks.append(asyncio.create_task(self._keep(track, kept)))

    def _listen(self, receiver, kind):
        """Note the raw times of packets and reports, which aiortc keeps to itself."""
        rtp, rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet

        async def on_rtp(packet, arrival_time_ms):
            self.first_timestamp.setdefault(kind, packet.timestamp)
            await rtp(packet, arrival_time_ms)

        async def on_rtcp(packet):
            if isinstance(packet, RtcpSrPacket) and packet.sender_info.packet_count:
                info = packet.sender_info
                self.reports[kind] = (info.ntp_timestamp / 2**32, info.rtp_timestamp)
            await rtcp(packet)

        receiver._handle_rtp_packet, receiver._handle_rtcp_packet = on_rtp, on_rtcp

    async def _keep(self, track, kept):
        with contextlib.suppress(MediaStreamError):
            while True:
                kept.append(await track.recv())

    def seconds(self, kind, pts):
        """The sender's time of day for a frame that was received, as a browser works it out to keep lips in sync."""
        rate = 90_000 if kind == "video" else 48_000
        wall, timestamp = self.reports[kind]
        behind = (timestamp - self.first_timestamp[kind] - pts) & 0xFFFFFFFF
        behind = behind - 2**32 if behind >= 2**31 else behind
        return wall - behind / rate

    async def body(self, **more):
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return {"sdp": self.pc.localDescription.sdp, "type": "offer", "pc_id": self.pc_id, **more}

    async def take(self, answer):
        self.pc_id = answer["pc_id"]
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    async def offer(self, offers, **more):
        agreement = await offers.answer(parse_offer(json.dumps(await self.body(**more))))
        await self.take(agreement.answer.model_dump())
        return agreement

    async def post(self, url, **headers):
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{url}/api/offer", json=await self.body(), headers=headers) as response,
        ):
            if response.status == 200:
                await self.take(await response.json())
                return 200, {}
            found = await response.text()
            return response.status, json.loads(found)["data"] if found.startswith("{") else {}

    def say(self, text):
        self.channel.send(json.dumps(text) if isinstance(text, dict) else text)

    def told(self, kind):
        return [found["data"] for found in self.messages if found.get("type") == kind]

    async def close(self):
        await self.pc.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Probe(FrameProcessor):
    """Keeps what the input pushed."""

    def __init__(self):
        super().__init__()
        self.frames = []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        await self.push_frame(frame, direction)

    def of(self, kind):
        return [frame for frame in self.frames if isinstance(frame, kind)]


async def until(condition, what="it", seconds=WAIT):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.02)


class Conversation:
    def __init__(self, peer, offers):
        self.peer, self.offers = peer, offers
        self.probe, self.metrics, self.card = Probe(), Metrics(), Card()

    async def begin(self):
        agreement = await self.peer.offer(self.offers)
        about = {"name": "Iris", "language": "en-US"}
        self.transport = RtcTransport(agreement.connection, 16_000, self.metrics, about)
        assert isinstance(self.transport, LiveTransport)
        await self.transport.open(VIDEO)
        self.video = CharacterVideoProcessor(self.card, VIDEO)
        await self.video.runner.prepare(None)
        pipeline = Pipeline([self.transport.input(), self.probe, self.video, self.transport.output()])
        self.worker = PipelineWorker(
            pipeline,
            params=PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=24_000),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )
        self.running = WorkerRunner(handle_sigint=False)
        await self.running.add_workers(self.worker)
        self.task = asyncio.create_task(self.running.run())

    async def speak(self, samples):
        turn = self.video.runner.begin_turn()
        await self.video.runner.push_audio(samples.tobytes(), turn, None)
        self.video.runner.end_turn(turn)
        return turn

    async def end(self):
        await self.worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.video.runner.close()
        await self.transport.close()
        await self.transport.hang_up()
        await self.transport.hang_up()


@contextlib.asynccontextmanager
async def conversing(microphone=None, codecs=()):
    peer, offers = Peer(microphone, codecs), Offers()
    talk = Conversation(peer, offers)
    try:
        await talk.begin()
        yield talk
    finally:
        await talk.end()
        await until(lambda: peer.pc.connectionState in ("closed", "new"), "the connection to be closed")
        await offers.close()
        await peer.close()


async def test_frames_keep_their_rate_and_their_sound():
    async with conversing() as talk:
        peer = talk.peer
        await until(lambda: len(peer.pictures) > 12, "pictures")
        await talk.speak(tone(0.8))
        await until(lambda: {"audio", "video"} <= peer.reports.keys(), "sender reports")
        await until(lambda: any(_loudness(sound) > 2000 for sound in peer.sounds), "the voice")
        await until(lambda: any(_brightness(picture) > 200 for picture in peer.pictures), "the speaking face")
        await until(lambda: len(peer.pictures) > 60, "more pictures")
        # Reports that saw the same stretch of the line of time.
        peer.reports.clear()
        await until(lambda: {"audio", "video"} <= peer.reports.keys(), "sender reports")
        steps = np.diff([picture.pts for picture in peer.pictures])
        assert set(steps % SLOT) == {0}
        assert np.median(steps) == SLOT
        shown = next(picture for picture in peer.pictures if _brightness(picture) > 200)
        voiced = next(sound for sound in peer.sounds if _loudness(sound) > 2000)
        rate, first = voiced.sample_rate, int(np.argmax(np.abs(_samples(voiced)) > 2000))
        heard = peer.seconds("audio", voiced.pts * 48_000 // rate) + first / rate
        assert abs(heard - peer.seconds("video", shown.pts)) < 0.015  # what Opus blurs, and a tone's first half wave


async def test_a_stock_track_paces_by_a_thirtieth_whatever_the_rate():
    """The pitfall that our own track is there for; when an upgrade mends it, this says so."""
    track = RawVideoTrack(160, 120)
    pts = []
    for _ in range(3):
        track.add_video_frame(OutputImageRawFrame(image=bytes(3 * 160 * 120), size=(160, 120), format="RGB"))
        pts.append((await track.recv()).pts)
    assert list(np.diff(pts)) == [3000, 3000]


@pytest.mark.parametrize(("names", "agreed"), [(["H264", "VP8"], "vp8"), (["H264"], "h264")])
async def test_vp8_is_preferred_and_the_client_is_welcomed(names, agreed):
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    order = [codec for name in names for codec in capabilities if codec.mimeType == f"video/{name}"]
    async with conversing(codecs=order) as talk:
        await until(lambda: talk.peer.told("welcome"), "the welcome")
        welcome = talk.peer.told("welcome")[0]
        assert welcome["character"] == {"name": "Iris", "language": "en-US"}
        assert welcome["session"] == talk.peer.pc_id
        assert (welcome["video"]["codec"], welcome["video"]["fps"], welcome["audio"]["codec"]) == (agreed, 24, "opus")
        await until(lambda: len(talk.peer.pictures) > 5, "pictures that can be decoded")


async def test_the_microphone_is_heard_at_the_rate_of_the_pipeline():
    question = read_audio(DATA / "questions" / "01.flac", 48_000)
    async with conversing(Recording(question)) as talk:
        await until(lambda: len(talk.probe.of(InputAudioRawFrame)) > 150, "the microphone")
    frames = talk.probe.of(InputAudioRawFrame)
    assert {(frame.sample_rate, frame.num_channels) for frame in frames} == {(16_000, 1)}
    lengths = [len(frame.audio) / 2 / 16_000 for frame in frames]
    assert np.median(lengths) == pytest.approx(0.02)
    heard = np.frombuffer(b"".join(frame.audio for frame in frames), np.int16).astype(float)
    spoken = question[::3].astype(float)  # near enough to 16 kHz for a likeness
    size = 16_000
    likeness = np.correlate(heard, spoken[8000 : 8000 + size])
    loud = np.sqrt(np.convolve(heard**2, np.ones(size), "valid") * np.sum(spoken[8000 : 8000 + size] ** 2))
    assert np.max(likeness / (loud + 1)) > 0.8


async def test_messages_go_both_ways():
    async with conversing() as talk:
        peer, probe = talk.peer, talk.probe
        await until(lambda: peer.told("welcome"), "the channel")
        peer.say({"label": "rtvi-ai", "type": "send-text", "id": "1", "data": {"content": "Hello"}})
        for junk in ("not JSON", "[]", '{"type": 3}', '{"label": "else", "type": "x"}', '"ping"'):
            peer.say(junk)
        peer.say(message("ping", t=42))
        peer.say(message("stats", buffer_ms=400, rtt_ms=20, av_offset_ms=[3.0], shown=24))
        await until(lambda: peer.told("pong"), "pong")
        assert peer.told("pong") == [{"t": 42}]
        await until(lambda: probe.of(InputTransportMessageFrame), "the RTVI message")
        assert [frame.message["data"]["content"] for frame in probe.of(InputTransportMessageFrame)] == ["Hello"]
        await until(lambda: talk.transport.playout_delay > 0.2, "the client's figures")
        await talk.worker.queue_frame(
            OutputTransportMessageUrgentFrame(message={"label": "rtvi-ai", "type": "bot-ready"})
        )
        await talk.video.push_frame(TTSTextFrame("Hello there", text_type=TextType.WORD))
        await until(lambda: peer.told("caption"), "the caption")
        assert peer.told("caption")[0]["text"] == "Hello there"
        assert any(found.get("type") == "bot-ready" for found in peer.messages)
        await talk.speak(tone(0.2))
        await until(lambda: {"state": "speaking"} in peer.told("state"), "the state")
        peer.say(message("interrupt"))
        await until(lambda: probe.of(InterruptionFrame), "the interruption")
        peer.say(message("bye"))
        await asyncio.wait_for(talk.transport.wait_done(), WAIT)


async def test_a_cut_turn_falls_silent_at_once():
    async with conversing() as talk:
        peer = talk.peer
        turn = await talk.speak(tone(20))
        await until(lambda: any(_loudness(sound) > 2000 for sound in peer.sounds), "the voice")
        talk.video.runner.interrupt()
        await talk.worker.queue_frame(FlushFrame(turn=turn, at_index=10_000, final=True))
        await until(lambda: peer.told("flush"), "the message")
        assert peer.told("flush")[0] == {"turn": turn, "at": 10_000 * 1_000_000 // 24, "final": True}
        await until(lambda: peer.sounds and _loudness(peer.sounds[-1]) < 50, "silence")
        count = len(peer.sounds)
        await until(lambda: len(peer.sounds) > count + 20, "more sound")
        assert max(_loudness(sound) for sound in peer.sounds[count:]) < 50
        await until(lambda: _brightness(peer.pictures[-1]) < 200, "the face at rest")


async def test_a_camera_added_later_is_looked_at_only_when_asked():
    async with conversing() as talk:
        peer = talk.peer
        await until(lambda: peer.pictures, "pictures")
        camera = Camera((200, 30, 30))
        peer.pc.getTransceivers()[1].sender.replaceTrack(camera)
        screen = Camera((30, 30, 200))
        peer.pc.addTransceiver(screen, direction="sendonly")
        agreement = await peer.offer(talk.offers)
        assert agreement.connection is None  # the same conversation
        await until(lambda: camera.count > 10 and screen.count > 10, "the camera")
        senders = talk.transport._connection.pc.getTransceivers()
        assert all(transceiver.receiver.track._queue.empty() for transceiver in senders[1:])
        for source, strongest in (("camera", 0), ("screen", 2), ("camera", 0)):
            count = len(talk.probe.of(UserImageRawFrame))
            await talk.probe.push_frame(UserImageRequestFrame("user", video_source=source), FrameDirection.UPSTREAM)
            await until(lambda count=count: len(talk.probe.of(UserImageRawFrame)) > count, source)
            frame = talk.probe.of(UserImageRawFrame)[-1]
            assert (frame.size, frame.format) == ((160, 120), "RGB")
            assert np.argmax(np.frombuffer(frame.image, np.uint8).reshape(-1, 3).mean(axis=0)) == strongest


async def test_a_restarted_connection_goes_on():
    async with conversing() as talk:
        await until(lambda: talk.peer.pictures, "pictures")
        old, talk.peer = talk.peer, Peer()
        agreement = await talk.peer.offer(talk.offers, pc_id=old.pc_id, restart_pc=True)
        assert agreement.connection is None
        try:
            await until(lambda: len(talk.peer.pictures) > 5 and talk.peer.sounds, "pictures")
        finally:
            await old.close()
            await talk.peer.close()


async def test_a_client_that_is_gone_ends_the_visit():
    async with conversing() as talk:
        await until(lambda: talk.peer.pictures, "pictures")
        await talk.peer.close()
        await asyncio.wait_for(talk.transport.wait_done(), WAIT)


@pytest.mark.parametrize(
    "body", ["", "{}", '{"sdp": 3}', '{"sdp": "v=0", "type": "offer"}', '{"sdp": "x", "type": "answer"}']
)
async def test_nonsense_is_no_offer(body):
    offers = Offers()
    with pytest.raises(ProtocolError, match="offer"):
        await offers.answer(parse_offer(body))
    await offers.close()


async def test_twenty_visits_leave_nothing():
    await _visit()  # what is made once: modules, the default threads
    gc.collect()
    before = _held()
    for _ in range(20):
        await _visit()
    await until(lambda: _held() <= before, f"everything to be let go: {before} -> {_held()}")


async def _visit():
    async with conversing(Recording(tone(1, 48_000))) as talk:
        await until(lambda: talk.peer.pictures and talk.peer.sounds, "pictures")


def _held():
    gc.collect()
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return len(asyncio.all_tasks()), len(threads), len(list(Path("/proc/self/fd").iterdir()))


class Time:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def chunk(index, frames=1, turn=1):
    frame = np.zeros((4, 4, 3), np.uint8)
    samples = tone(frames / 24)[: 1000 * frames]
    return RenderedChunk(index, [frame] * frames, samples.tobytes(), turn)


async def test_a_slow_encoder_costs_pictures_and_no_sound():
    playout = Playout(VIDEO)
    sounds, pictures = [], []

    async def listen():
        while True:
            sounds.append(await playout.next_sound())

    async def encode():
        while True:
            pictures.append((await playout.next_picture()).index)
            await asyncio.sleep(0.3)

    tasks = [asyncio.create_task(listen()), asyncio.create_task(encode())]
    began = time.monotonic()
    for index in range(60):
        await asyncio.sleep(max(0, began + index / 24 - time.monotonic()))
        playout.put(chunk(index))
    await until(lambda: len(sounds) == 125, "all of the sound")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert b"".join(sound.pcm for sound in sounds) == b"".join(chunk(0).pcm for _ in range(60))
    assert playout.counts.dropped > 30
    assert playout.counts.unsent_seconds == 0
    assert pictures == sorted(pictures)
    assert max(pictures) - min(pictures) > 40  # the newest are shown, not the first in slow motion


async def test_what_waits_is_bounded_and_flushed_by_turn():
    playout = Playout(VIDEO)
    for index in range(100):
        playout.put(chunk(index, turn=1))
    assert playout.counts.dropped == 88
    assert playout.counts.unsent_seconds == pytest.approx(88 / 24)
    for index in range(100, 104):
        playout.put(chunk(index, turn=2))
    playout.flush(1, 100)
    sounds = [await playout.next_sound() for _ in range(20)]
    by_turn = {turn: b"".join(sound.pcm for sound in sounds if sound.turn == turn) for turn in (1, 2)}
    assert not np.frombuffer(by_turn[1], np.int16)[200:-480].any()
    assert np.frombuffer(by_turn[2], np.int16).any()
    assert (await playout.next_picture()).turn == 2


def test_congestion_is_what_the_network_holds_up_not_a_low_estimate():
    clock = Time()
    congestion = Congestion(clock)
    verdicts = []
    for _ in range(50):  # 0.8 Mbit/s, under a target of 2.5
        congestion.sent(10_000)
        clock.now += 0.1
        verdicts.append(congestion.estimate(900_000))
    assert not any(verdicts)
    for _ in range(50):
        congestion.sent(10_000)
        clock.now += 0.1
        verdicts.append(congestion.estimate(400_000))
    assert any(verdicts)
    assert not congestion.lost(0.02)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_conversation_with_the_real_server(live):
    """Greeted, asked, answered; nobody else is let in meanwhile, nor a page of another site at any time."""
    silence = np.zeros(48_000, np.int16)
    spoken = np.concatenate([read_audio(DATA / "questions" / "03.flac", 48_000), np.zeros(60 * 48_000, np.int16)])
    microphone = Recording(silence)
    peer, second = Peer(microphone), Peer()
    try:
        assert (await second.post(live.url, Origin="https://elsewhere.example"))[0] == 403
        assert await peer.post(live.url) == (200, {})
        await until(lambda: "museum" in _captions(peer), "the greeting", 60)
        status, data = await second.post(live.url)
        assert (status, data["reason"]) == (503, "busy")
        await until(lambda: peer.told("state")[-1]["state"] == "listening", "its end", 60)
        greeted = len(_captions(peer))
        microphone.play(spoken)
        await until(lambda: "sky blue" in _heard(peer).lower(), "the question", 60)
        await until(lambda: len(_captions(peer)) > greeted + 20, "the answer", 60)
        await until(lambda: peer.told("waterfall"), "the account of the turn", 60)
        assert max(_loudness(sound) for sound in peer.sounds) > 2000
        assert np.median(np.diff([picture.pts for picture in peer.pictures])) == SLOT
        peer.say(message("bye"))
        await until(lambda: peer.told("bye") and peer.pc.connectionState == "closed", "the good-bye")
        await until(lambda: not live.host.full, "the place to be free")
        assert await second.post(live.url) == (200, {})
        await until(lambda: second.pictures, "the next visitor's pictures", 60)
    finally:
        await peer.close()
        await second.close()
    await until(lambda: not live.host.full, "the place to be free")


def _captions(peer):
    return " ".join(data["text"] for data in peer.told("caption"))


def _heard(peer):
    return " ".join(data["text"] for data in peer.told("user-transcription") if data.get("final"))


def test_what_is_reported_does_not_move_when_chunks_come_late():
    """Sound and picture are reported at different moments; a move between them would pull lips and voice apart."""
    now = Time()
    clock = MediaClock(now)
    before = None
    for index in range(120):
        now.now = index / 24 + (0.3 if index > 40 else 0)
        clock.arrived(index / 24)
        before = before or clock.wall(1.0)
    assert clock.wall(1.0) == before
    assert clock.wall(3.0) - before == pytest.approx(2.0)
    assert clock.early(119 / 24) == pytest.approx(MARGIN, abs=1e-6)  # while what leaves has followed the delay


def test_servers_for_other_networks():
    assert ice_server("stun:stun.example.org:3478").urls == "stun:stun.example.org:3478"
    relay = ice_server("turns:iris:p%40ss@turn.example.org:5349?transport=tcp")
    assert (relay.urls, relay.username, relay.credential) == (
        "turns:turn.example.org:5349?transport=tcp",
        "iris",
        "p@ss",
    )


def _samples(frame):
    channels = len(frame.layout.channels)
    return frame.to_ndarray().reshape(-1, channels)[:, 0].astype(int)


def _loudness(frame):
    return int(np.abs(_samples(frame)).max())


def _brightness(frame):
    return float(frame.to_ndarray(format="gray").mean())
