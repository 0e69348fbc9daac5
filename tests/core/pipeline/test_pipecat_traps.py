"""What Pipecat itself does that shaped this design. Its own classes, none of ours: when one of these fails after an
upgrade, Pipecat has changed, and what we built around it may go."""

from __future__ import annotations

import asyncio
import contextlib
import inspect

import numpy as np
from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.vad.vad_analyzer import VAD_STOP_SECS, VADAnalyzer, VADParams, VADState
from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    OutputTransportReadyFrame,
    StartFrame,
    TextFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.services.llm_service import LLMService
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

FPS = 24
SIZE = (16, 12)


class Screen(BaseOutputTransport):
    """Pipecat's output, noting what it draws and when."""

    def __init__(self, **params):
        super().__init__(
            TransportParams(
                audio_out_enabled=True,
                video_out_enabled=True,
                video_out_framerate=FPS,
                video_out_width=SIZE[0],
                video_out_height=SIZE[1],
                **params,
            )
        )
        self.drawn = []

    async def start(self, frame):
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame):
        await asyncio.sleep(frame.num_frames / frame.sample_rate)
        return True

    async def write_video_frame(self, frame):
        self.drawn.append((asyncio.get_running_loop().time(), frame.size, frame.image[0]))
        return True


class Source(FrameProcessor):
    def __init__(self):
        super().__init__()
        self.ready = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, OutputTransportReadyFrame):
            self.ready.set()


@contextlib.asynccontextmanager
async def pipeline(*processors):
    source = Source()
    worker = PipelineWorker(
        Pipeline([source, *processors]),
        params=PipelineParams(audio_out_sample_rate=24_000),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        yield source
    finally:
        await worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def picture(number, size=SIZE, sync=False):
    frame = OutputImageRawFrame(bytes([number % 256]) * (size[0] * size[1] * 3), size, "RGB")
    frame.sync_with_audio = sync
    return frame


async def show(screen, count=FPS, sync=False):
    """A second of numbered pictures at 24 a second, with their sound if it is to be in time with them."""
    async with pipeline(screen) as source:
        await source.ready.wait()
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number in range(count):
            if sync:
                await source.push_frame(TTSAudioRawFrame(bytes(2000), 24_000, 1))
            await source.push_frame(picture(number + 1, sync=sync))
            await asyncio.sleep(max(0.0, start + (number + 1) / FPS - loop.time()))
        await asyncio.sleep(0.5)
    return [number for _, _, number in screen.drawn]


async def test_1_live_video_in_time_with_its_sound_draws_nothing():
    assert await show(Screen(video_out_is_live=True), sync=True) == []


async def test_2_video_that_is_not_live_drops_and_doubles_pictures():
    drawn = await show(Screen(video_out_is_live=False), count=2 * FPS)
    assert len(drawn) > len(set(drawn))


async def test_3_live_video_queues_without_end_and_ignores_pts():
    screen = Screen(video_out_is_live=True)
    async with pipeline(screen) as source:
        await source.ready.wait()
        for number in range(100):
            frame = picture(number)
            frame.pts = (number // 50) * 3_600_000_000_000  # the second half is due in an hour
            await source.push_frame(frame)
        await asyncio.sleep(0.5)
        waiting = screen._media_senders[None]._video_queue
        assert waiting.maxsize == 0 and waiting.qsize() > 50
        await asyncio.sleep(2.0)
        assert max(number for _, _, number in screen.drawn) >= 50


class Film(FrameProcessor):
    """Draws from within `process_frame`, as a simple processor would."""

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        if isinstance(frame, TextFrame):
            for number in range(10 * FPS):
                await self.push_frame(picture(number))
                await asyncio.sleep(1 / FPS)
        else:
            await self.push_frame(frame, direction)


async def test_4_an_interruption_freezes_the_picture():
    screen = Screen(video_out_is_live=True)
    async with pipeline(Film(), screen) as source:
        await source.ready.wait()
        await source.push_frame(TextFrame("go"))
        await asyncio.sleep(0.5)
        await source.push_frame(InterruptionFrame())
        await asyncio.sleep(0.2)
        drawn = len(screen.drawn)
        await asyncio.sleep(1.0)
    assert drawn > 0 and len(screen.drawn) == drawn


def test_6_aiortc_holds_the_picture_to_a_low_bit_rate():
    from aiortc.codecs import h264, vpx

    assert (vpx.MAX_BITRATE, h264.MAX_BITRATE) == (1_500_000, 3_000_000)


async def test_7_the_protobuf_serializer_carries_no_picture():
    assert await ProtobufFrameSerializer().serialize(picture(1)) is None


def test_8_the_defaults_are_not_ours():
    params = TransportParams()
    assert (params.video_out_width, params.video_out_height, params.video_out_framerate) == (1024, 768, 30)
    assert params.audio_out_10ms_chunks == 4 and params.audio_out_end_silence_secs == 2
    timeout = inspect.signature(LLMService.__init__).parameters["function_call_timeout_secs"]
    assert timeout.default is None
    assert SmartTurnParams().stop_secs == 3 and VAD_STOP_SECS == 0.2


async def test_8_pictures_of_another_size_lose_their_shape():
    screen = Screen(video_out_is_live=True)
    async with pipeline(screen) as source:
        await source.ready.wait()
        await source.push_frame(picture(1, size=(40, 10)))
        await asyncio.sleep(0.4)
    assert [size for _, size, _ in screen.drawn] == [SIZE]


class Sure(VADAnalyzer):
    """Takes everything for a voice."""

    def num_frames_required(self):
        return 512

    def voice_confidence(self, buffer):
        return 1.0


async def notices_after(min_volume):
    """Seconds until a voice that begins at once and at full strength is noticed, after a second of silence."""
    vad = Sure(params=VADParams(start_secs=0.1, min_volume=min_volume))
    vad.set_sample_rate(16_000)
    if min_volume:
        for _ in range(31):
            await vad.analyze_audio(bytes(1024))
    voice = (np.sin(np.arange(16_000) * 0.1) * 9000).astype(np.int16).tobytes()
    states = [await vad.analyze_audio(voice[start : start + 1024]) for start in range(0, 31 * 1024, 1024)]
    await vad.cleanup()
    return (states.index(VADState.SPEAKING) + 1) * 0.032


async def test_9_the_volume_that_a_voice_must_have_delays_its_notice():
    assert await notices_after(0.0) <= 0.1
    assert await notices_after(VADParams().min_volume) > 0.15


class Two(FrameProcessor):
    """Pushes a word, and at once an interruption."""

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            await self.push_frame(TextFrame("heard"))
            await self.push_frame(InterruptionFrame())


class Order(FrameProcessor):
    def __init__(self):
        super().__init__()
        self.seen = []

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        self.seen.append(type(frame))


async def test_10_an_interruption_overtakes_the_words_before_it():
    order = Order()
    async with pipeline(Two(), order):
        await asyncio.sleep(0.3)
    assert order.seen.index(InterruptionFrame) < order.seen.index(TextFrame)
