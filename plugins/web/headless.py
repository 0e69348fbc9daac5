"""A client of the live protocol without a page: for tests, benchmarks, kiosks.

It speaks through a microphone made of samples, plays what comes as a page would (`playout.py`) and notes when it came.
Times are time.monotonic; on one machine they compare with those of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import av
import numpy as np
from numpy.typing import NDArray

from animacy.core.video.contract import RGBFrame
from animacy.plugins.web.playout import Picture, Playout, Sound
from animacy.plugins.web.protocol import LABEL, RTVI_LABEL, SUBPROTOCOL, Kind, Packet, ProtocolError, message

MICROPHONE_RATE = 16_000
CHUNK_SECONDS = 0.02
TICK_SECONDS = 0.01
STATS_SECONDS = 1.0
KEPT_MESSAGES = 2000
VOICED_LEVEL = 0.02
"""Share of full scale above which a sample of a recording counts as voice."""
SILENCE_SECONDS = 1.0
"""Without a word for so long, an answer is over."""

PAUSE_SECONDS = 0.15

T = TypeVar("T")
Samples = NDArray[np.int16]


class RefusedError(ConnectionError):
    """The server did not take this client in; `reason` as in docs/protocol.md."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """A text message, and when it came."""

    at: float
    label: str
    type: str
    data: dict[str, Any]


@dataclass(slots=True)
class Said:
    """Something said into the microphone: when its first sample was, and when its last voiced one."""

    began: float
    speech_end: float


@dataclass(slots=True)
class Answer:
    """What came of a question. Moments are None when they never came.

    `first_frame` and `first_sound` are arrivals, of the first frame of the answer and of the first piece of it with a
    voice in it; `first_heard` is when that piece was played. `pauses` are the silences inside the answer: where each
    begins, in seconds of sound after the first voiced piece, and how long it is.
    """

    speech_end: float
    first_frame: float | None = None
    first_sound: float | None = None
    first_heard: float | None = None
    transcript: str = ""
    text: str = ""
    pauses: list[tuple[float, float]] = field(default_factory=list)
    waterfall: dict[str, Any] = field(default_factory=dict)

    @property
    def silence(self) -> float:
        """The longest pause, in seconds."""
        return max((seconds for _, seconds in self.pauses), default=0.0)


class HeadlessClient:
    """One connection. Use as an async context manager; entering it says hello and waits for the welcome.

    Parameters:
        url: the page's address, "http://127.0.0.1:7860".
        session: the token of an earlier welcome, to go on with that session.
        video, audio: codecs to ask for, best first.
        distance: seconds between the arrival of sound and its being heard.
        microphone: whether to send anything while nothing is said (a real microphone always does).
    """

    def __init__(
        self,
        url: str,
        *,
        session: str | None = None,
        video: tuple[str, ...] = ("h264",),
        audio: tuple[str, ...] = ("pcm",),
        distance: float = 0.1,
        microphone: bool = True,
    ) -> None:
        self.url = url.rstrip("/")
        self.session = session
        self.welcome: dict[str, Any] = {}
        self.messages: deque[Message] = deque(maxlen=KEPT_MESSAGES)
        self.close_code: int | None = None
        self.junk = 0
        self.playout = Playout(fps=24, distance=distance)
        self.connected_at = 0.0
        self.first_picture: float | None = None
        self._hello = {"session": session, "video": video, "audio": audio, "microphone": "pcm", "about": "headless"}
        self._always_on = microphone
        self.http: aiohttp.ClientSession | None = None
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._speech: deque[tuple[Samples, asyncio.Future[Said]]] = deque(maxlen=64)
        self._sequence = 0
        self._opus: Any = None
        self._rtt: float | None = None
        self._voice_at = 0.0
        self._ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            await self._connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ConnectionError):
            await self.tell("bye")
        await self.close()

    @property
    def ended(self) -> bool:
        """Whether the connection is over."""
        return self._ended.is_set()

    @property
    def state(self) -> str:
        """What the character is doing, as the server last told."""
        return next((m.data.get("state", "") for m in reversed(self.messages) if m.type == "state"), "")

    async def wait_ended(self, within: float = 10.0) -> int | None:
        """Wait until the server has closed the connection; returns its close code. Raises TimeoutError."""
        await asyncio.wait_for(self._ended.wait(), within)
        return self.close_code

    async def tell(self, kind: str, **data: Any) -> None:
        """Send a message of this protocol. Raises ConnectionError when the connection is over."""
        await self.send_raw(json.dumps(message(kind, **data)))

    async def tell_rtvi(self, kind: str, **data: Any) -> None:
        """Send an RTVI message. Raises ConnectionError."""
        await self.send_raw(json.dumps({"label": RTVI_LABEL, "type": kind, "id": str(self._sequence), "data": data}))

    async def send_raw(self, data: bytes | str) -> None:
        """Send anything, also what is not of the protocol. Raises ConnectionError."""
        if self._ws is None or self._ws.closed:
            raise ConnectionError("not connected")
        if isinstance(data, bytes):
            await self._ws.send_bytes(data)
        else:
            await self._ws.send_str(data)

    async def say(self, samples: Samples) -> Said:
        """Speak (mono, 16 kHz) after what is being said already; returns when it was said."""
        said: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._speech.append((samples, said))
        return await said

    def hush(self) -> None:
        """Say nothing more of what waits to be said; what is being said goes on."""
        while self._speech:
            self._speech.pop()[1].cancel()

    async def until(self, found: Callable[[], T | None], within: float = 30.0) -> T:
        """Wait until `found` returns something; it is asked after everything that arrives. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while (result := found()) is None:
                if self.ended:
                    raise ConnectionError(f"the connection ended (code {self.close_code})")
                self._changed.clear()
                await self._changed.wait()
            return result

    async def message(self, kind: str, since: float = 0.0, within: float = 30.0) -> Message:
        """The first message of a type that came after a moment; waits for it. Raises TimeoutError."""
        return await self.until(lambda: self._message(kind, since), within)

    async def silence(self, seconds: float = SILENCE_SECONDS, within: float = 60.0) -> None:
        """Wait until the character listens and was not heard for so long. Raises TimeoutError."""
        begun = time.monotonic()

        def quiet() -> bool | None:
            now = time.monotonic()
            last = max((sound.arrived for sound in self.playout.sounds if sound.turn and sound.voiced), default=begun)
            return True if now - max(last, begun) >= seconds and self.state == "listening" else None

        await self.until(quiet, within)

    async def hear_out(self) -> None:
        """Wait until the character began to speak, as it does to greet, and was heard out. Raises TimeoutError."""
        await self.until(
            lambda: next((sound for sound in self.playout.sounds if sound.turn and sound.voiced), None), 60.0
        )
        await self.silence()

    async def ask(self, samples: Samples, within: float = 30.0) -> Answer:
        """Ask, and wait for the whole answer; `first_frame` stays None when none begins."""
        begun = time.monotonic()
        before = {0, *(picture.turn for picture in self.playout.pictures)}
        said = await self.say(samples)
        answer = Answer(said.speech_end)

        def answered() -> float | None:
            newest = reversed(self.playout.pictures)
            arrivals = itertools.takewhile(lambda arrived: arrived.arrived > begun, newest)
            return min((p.arrived for p in arrivals if p.turn not in before), default=None)

        with contextlib.suppress(TimeoutError):
            answer.first_frame = await self.until(answered, within)
            await self.silence()
        self._describe(answer, begun, before)
        return answer

    def recent(self, first: float) -> list[Picture]:
        """The pictures from the key frame on that is needed to decode those after a pts."""
        pictures = list(self.playout.pictures)
        keys = [place for place, picture in enumerate(pictures) if picture.key and picture.pts <= first]
        return pictures[keys[-1] if keys else 0 :]

    def stop_reading(self) -> None:
        """Read nothing any more, as a client that hangs."""
        if self._reader is not None:
            self._reader.cancel()

    def abort(self) -> None:
        """Cut the connection without a word, as a network that fails."""
        connection = self._ws._response.connection if self._ws is not None else None
        if connection is not None and connection.transport is not None:
            connection.transport.abort()

    async def close(self) -> None:
        """Close the connection and stop everything. May be called twice."""
        self.hush()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._ws is not None:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(self._ws.close(), 2.0)
        if self.http is not None:
            await self.http.close()
        self._ended.set()

    async def _connect(self) -> None:
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=10))
        address = self.url.replace("http", "ws", 1) + "/api/live"
        self._ws = await self.http.ws_connect(address, protocols=(SUBPROTOCOL,), max_msg_size=0, compress=0)
        self.connected_at = time.monotonic()
        self._reader = asyncio.create_task(self._read(self._ws), name="headless reader")
        self._tasks.append(self._reader)
        await self.tell("hello", **self._hello)

        def welcomed() -> Message | None:
            return self._message("welcome", 0.0) or self._message("refused", 0.0)

        first = await self.until(welcomed, within=60.0)
        if first.type == "refused":
            raise RefusedError(str(first.data.get("reason")), str(first.data.get("message")))
        for work in (self._talk(), self._play(), self._report()):
            self._tasks.append(asyncio.create_task(work, name="headless client"))

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async for received in ws:
                if received.type is aiohttp.WSMsgType.TEXT:
                    self._take_text(received.data)
                elif received.type is aiohttp.WSMsgType.BINARY:
                    self._take_binary(received.data)
                self._changed.set()
        except ConnectionError:
            pass
        self.close_code = ws.close_code
        self._ended.set()
        self._changed.set()

    def _take_text(self, text: str) -> None:
        now = time.monotonic()
        try:
            found = json.loads(text)
            told = Message(now, found["label"], found["type"], found.get("data") or {})
        except (ValueError, KeyError, TypeError):
            self.junk += 1
            return
        self.messages.append(told)
        if told.label != LABEL:
            return
        if told.type == "welcome":
            self.welcome, self.session = told.data, told.data["session"]
            self.playout.fps = told.data["video"]["fps"]
            if told.data["audio"]["codec"] == "opus":
                self._opus = av.CodecContext.create("libopus", "r")
                self._opus.sample_rate, self._opus.layout = 48_000, "mono"
        elif told.type == "flush":
            self.playout.flush(told.data["turn"], told.data["at"] / 1e6, now)
        elif told.type == "pong" and isinstance(sent := told.data.get("t"), float):
            self._rtt = now - sent

    def _take_binary(self, data: bytes) -> None:
        now = time.monotonic()
        try:
            packet = Packet.unpack(data)
        except ProtocolError:
            self.junk += 1
            return
        if packet.kind is Kind.VIDEO:
            self.first_picture = self.first_picture or now
            self.playout.see(Picture(packet.pts / 1e6, packet.turn, packet.key, packet.payload, now))
        elif packet.kind is Kind.SOUND:
            samples, rate = self._samples(packet.payload)
            sound = Sound(packet.pts / 1e6, len(samples) / rate, packet.turn, samples, now)
            if sound.turn and sound.voiced:
                self._voice_at = now
            self.playout.hear(sound)

    def _samples(self, payload: bytes) -> tuple[Samples, int]:
        if self._opus is None:
            return np.frombuffer(payload, "<i2"), int(self.welcome["audio"]["sample_rate"])
        pieces: list[Samples] = [np.zeros(0, np.int16)]
        for frame in self._opus.decode(av.Packet(payload)):
            sound = frame.to_ndarray().ravel()
            whole = sound if sound.dtype == np.int16 else np.clip(sound, -1, 1) * 32767
            pieces.append(whole.astype(np.int16))
        return np.concatenate(pieces), 48_000

    async def _talk(self) -> None:
        """The microphone: a chunk leaves when its last sample was spoken."""
        size = int(MICROPHONE_RATE * CHUNK_SECONDS)
        silence = np.zeros(size, np.int16)
        due = time.monotonic()
        try:
            while True:
                if self._speech:
                    samples, said = self._speech.popleft()
                    began = due
                    for begin in range(0, len(samples), size):
                        piece = samples[begin : begin + size]
                        due = await self._utter(np.pad(piece, (0, size - len(piece))), due)
                    if not said.done():
                        said.set_result(Said(began, began + voiced_end(samples)))
                else:
                    due = await self._utter(silence if self._always_on else None, due)
        except ConnectionError:
            return
        finally:
            self.hush()

    async def _utter(self, samples: Samples | None, due: float) -> float:
        due += CHUNK_SECONDS
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if samples is not None:
            position = round(self._sequence * CHUNK_SECONDS * 1e6)
            await self.send_raw(
                Packet(Kind.MICROPHONE, samples.astype("<i2").tobytes(), position, 0, self._sequence).pack()
            )
            self._sequence += 1
        return due

    async def _play(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(TICK_SECONDS)
                for flush in self.playout.advance(time.monotonic()):
                    assert flush.silent is not None
                    assert flush.still is not None
                    silent_ms, still_ms = 1000 * (flush.silent - flush.arrived), 1000 * (flush.still - flush.arrived)
                    await self.tell("flushed", turn=flush.turn, silent_ms=silent_ms, still_ms=still_ms)
                self._changed.set()

    async def _report(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await self.tell("ping", t=time.monotonic())
                await asyncio.sleep(STATS_SECONDS)
                playout = self.playout
                counts, offsets, gap = playout.counts, playout.offsets, playout.longest_gap
                playout.offsets, playout.longest_gap = [], 0.0
                await self.tell(
                    "stats",
                    playhead=round((playout.playhead or 0.0) * 1e6),
                    buffer_ms=round(1000 * playout.buffered, 1),
                    av_offset_ms=[round(1000 * offset, 1) for offset in offsets],
                    shown=counts.shown,
                    late=counts.late,
                    dropped=counts.dropped,
                    repeated=counts.repeated,
                    longest_gap_ms=round(1000 * gap, 1),
                    rtt_ms=None if self._rtt is None else round(1000 * self._rtt, 2),
                )

    def _message(self, kind: str, since: float) -> Message | None:
        return next((m for m in self.messages if m.type == kind and m.at > since), None)

    def _describe(self, answer: Answer, begun: float, before: set[int]) -> None:
        spoken = [s for s in self.playout.sounds if s.arrived > begun and s.turn not in before]
        voiced = [sound for sound in spoken if sound.voiced]
        if voiced:
            answer.first_sound, answer.first_heard = voiced[0].arrived, voiced[0].heard
            answer.pauses = pauses_in(voiced)
        told = [message for message in self.messages if message.at > begun]
        answer.text = " ".join(m.data.get("text", "").strip() for m in told if m.type == "caption")
        heard = [m.data.get("text", "") for m in told if m.type == "user-transcription" and m.data.get("final")]
        answer.transcript = " ".join(heard)
        answer.waterfall = next((m.data for m in told if m.type == "waterfall"), {})


def decode(pictures: list[Picture], codec: str) -> Iterator[tuple[Picture, RGBFrame]]:
    """Decode pictures of which the first is a key frame ("h264" or "vp8"). Blocks for milliseconds a picture."""
    decoder: Any = av.CodecContext.create(codec, "r")
    # One picture out for each one in, whatever the decoder's threads would like to keep.
    decoder.thread_type = "SLICE"
    for picture in pictures:
        for frame in decoder.decode(av.Packet(picture.payload)):
            yield picture, frame.to_ndarray(format="rgb24")


def voiced_start(samples: Samples) -> float:
    """Seconds until the first voiced sample of a recording (16 kHz)."""
    voiced = np.flatnonzero(np.abs(samples.astype(np.int32)) > VOICED_LEVEL * 32768)
    return float(voiced[0]) / MICROPHONE_RATE if len(voiced) else 0.0


def voiced_end(samples: Samples) -> float:
    """Seconds until the last voiced sample of a recording (16 kHz)."""
    voiced = np.flatnonzero(np.abs(samples.astype(np.int32)) > VOICED_LEVEL * 32768)
    return float(voiced[-1] + 1) / MICROPHONE_RATE if len(voiced) else len(samples) / MICROPHONE_RATE


def pauses_in(voiced: list[Sound]) -> list[tuple[float, float]]:
    """The silences of more than PAUSE_SECONDS between pieces of speech: begin after the first one, and length."""
    gaps = ((one.pts + one.seconds, other.pts) for one, other in itertools.pairwise(voiced))
    return [(end - voiced[0].pts, begin - end) for end, begin in gaps if begin - end > PAUSE_SECONDS]
