"""A pipeline to converse in: the real order, voice detector and turn model; the others do as they are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import numpy as np
from pipecat.frames.frames import (
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputTransportReadyFrame,
    StartFrame,
    STTMetadataFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

from animacy.core.pipeline.clauses import ClauseAggregator
from animacy.core.pipeline.frames import CharacterChunkFrame, FlushFrame, ForeseenTranscriptFrame, HeardWordFrame
from animacy.core.pipeline.pipeline import Parts, build_pipeline
from animacy.core.pipeline.processor import CharacterVideoProcessor
from animacy.core.recipe import TurnTaking
from animacy.core.video.contract import RenderedChunk, VideoFormat

VIDEO = VideoFormat(160, 120, 24, 24_000)
MICROPHONE_RATE = 16_000
PIECE = MICROPHONE_RATE // 50
SECONDS_PER_LETTER = 0.06
GAP = 0.05


def spoken(text, rate=24_000):
    """Words as tones of a length by their letters, gaps between them."""
    parts = []
    for word in text.split():
        t = np.arange(int(SECONDS_PER_LETTER * len(word) * rate)) / rate
        parts += [np.sin(2 * np.pi * 180 * t) * np.minimum(1, 60 * np.minimum(t, t[-1] - t)), np.zeros(int(GAP * rate))]
    return (9000 * np.concatenate(parts)).astype(np.int16)


class Card:
    """A renderer: a grey card, white while it speaks. Fills up its last slot with silence and says so."""

    def __init__(self):
        self.queue = deque()
        self.interrupted = -1
        self.index = 0

    async def start(self, portrait, output):
        self.output = output

    def push_audio(self, pcm, sample_rate, turn, visemes):
        assert turn > self.interrupted
        if self.queue and self.queue[-1][0] == turn:
            pcm = self.queue.pop()[1] + pcm
        self.queue.append((turn, pcm))

    def end_turn(self, turn):
        pass

    def interrupt(self, turn):
        self.interrupted = turn
        self.queue.clear()

    def set_state(self, state, emotion=None):
        pass

    async def __aiter__(self):
        size = 2 * self.output.samples_per_frame
        while True:
            turn, pcm = None, b""
            if self.queue:
                turn, queued = self.queue.popleft()
                pcm, rest = queued[:size], queued[size:]
                if rest:
                    self.queue.appendleft((turn, rest))
            frame = np.full((self.output.height, self.output.width, 3), 128 if turn is None else 255, np.uint8)
            yield RenderedChunk(self.index, [frame], pcm.ljust(size, b"\0"), turn, speech=len(pcm) // 2)
            self.index += 1

    async def close(self):
        pass


class Microphone(FrameProcessor):
    """Streams what is said into it, in real time; a faint noise otherwise."""

    def __init__(self):
        super().__init__()
        self.sound = np.zeros(0, np.int16)
        self.noise = np.random.default_rng(0)
        self.room = None  # given a Room, it hears the character
        self.task = None

    def say(self, samples):
        self.sound = np.concatenate([self.sound, samples])

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, OutputTransportReadyFrame) and self.task is None:
            self.task = self.create_task(self.stream(), "microphone")

    async def cleanup(self):
        await super().cleanup()
        if self.task is not None:
            await self.cancel_task(self.task)

    async def stream(self):
        loop = asyncio.get_running_loop()
        start, count = loop.time(), 0
        while True:
            piece, self.sound = self.sound[:PIECE], self.sound[PIECE:]
            audio = self.noise.integers(-6, 7, PIECE).astype(np.int16)
            audio[: len(piece)] += piece
            if self.room is not None:
                audio += self.room.echo(PIECE)
            await self.push_frame(InputAudioRawFrame(audio.tobytes(), MICROPHONE_RATE, 1))
            count += 1
            await asyncio.sleep(max(0.0, start + count * PIECE / MICROPHONE_RATE - loop.time()))


class Room(FrameProcessor):
    """Collects what the user would see and hear, each with its time."""

    def __init__(self):
        super().__init__()
        self.chunks, self.flushes, self.words, self.frames = [], [], [], []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        now = asyncio.get_running_loop().time()
        if isinstance(frame, CharacterChunkFrame):
            self.chunks.append((now, frame.chunk))
            return
        if isinstance(frame, FlushFrame):
            self.flushes.append((now, frame))
        elif isinstance(frame, HeardWordFrame):
            self.words.append((now, frame.text))
        self.frames.append((now, frame))
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    def heard(self):
        """All sound that reached the user: what was flushed did not."""
        sound = np.concatenate([np.frombuffer(chunk.pcm, np.int16) for _, chunk in self.chunks])
        return sound


class Studio:
    """Satisfies Transport."""

    greets = False

    def __init__(self, playout_delay=0.0):
        self.playout_delay = playout_delay
        self.microphone, self.room = Microphone(), Room()

    def input(self):
        return self.microphone

    def output(self):
        return self.room


class ToldSTT(FrameProcessor):
    """Understands, `delay` seconds after each end of a voice, the next of its texts; "" is no speech."""

    def __init__(self, texts=(), delay=0.15, says_nothing=True):
        super().__init__()
        self.texts, self.delay, self.says_nothing = deque(texts), delay, says_nothing

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):  # a turn must not need this time to end
            await self.push_frame(STTMetadataFrame(self.name, ttfs_p99_latency=60.0))
        elif isinstance(frame, VADUserStoppedSpeakingFrame) and self.texts:
            self.create_task(self.understand(self.texts.popleft()), "stt")

    async def understand(self, text):
        await asyncio.sleep(self.delay)
        if text:
            await self.push_frame(TranscriptionFrame(text, "user", time_now_iso8601(), finalized=True))
        elif self.says_nothing:
            await self.push_frame(ForeseenTranscriptFrame(""))


class ToldLLM(FrameProcessor):
    """Answers with the next of its texts, word by word."""

    def __init__(self, texts=()):
        super().__init__()
        self.texts, self.asked = deque(texts), []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        self.asked.append([dict(message) for message in frame.context.get_messages()])
        await self.push_frame(LLMFullResponseStartFrame())
        for word in (self.texts.popleft() if self.texts else "").split():
            await self.push_frame(LLMTextFrame(word + " "))
        await self.push_frame(LLMFullResponseEndFrame())


class ToldTTS(TTSService):
    """Speaks in tones, in pieces, a little faster than they are heard."""

    def __init__(self):
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            stop_frame_timeout_s=5,
            settings=TTSSettings(model="tones", voice="tone", language="en"),
        )
        self._text_aggregator = ClauseAggregator(language="en")
        self.pieces = 0

    def sound_of(self, text):
        return spoken(text)

    async def run_tts(self, text, context_id):
        from animacy.core.pipeline.frames import SpeechFrame

        sound = self.sound_of(text)
        for start in range(0, len(sound), 6000):
            await asyncio.sleep(0.05)
            self.pieces += 1
            yield SpeechFrame(sound[start : start + 6000].tobytes(), 24_000, 1, context_id=context_id)


@contextlib.asynccontextmanager
async def conversation(*, stt=None, llm=None, tts=None, renderer=None, turn_taking=None, playout_delay=0.0):
    """A running pipeline; yields a namespace of its parts. Nothing of it is left afterwards."""
    before = asyncio.all_tasks()
    scene = Scene()
    scene.transport = Studio(playout_delay)
    scene.microphone, scene.room = scene.transport.microphone, scene.transport.room
    scene.stt, scene.llm, scene.tts = stt or ToldSTT(), llm or ToldLLM(), tts or ToldTTS()
    scene.video = CharacterVideoProcessor(renderer or Card(), VIDEO)
    await scene.video.runner.prepare(None)
    scene.context = LLMContext()
    parts = Parts(scene.transport, scene.stt, scene.llm, scene.tts, scene.video)
    pipeline = build_pipeline(parts, turn_taking or TurnTaking(), scene.context)
    scene.gave_up_waiting = False

    async def on_user_turn_stop_timeout(_):
        scene.gave_up_waiting = True

    user = next(p for p in pipeline.processors if isinstance(p, LLMUserAggregator))
    user.add_event_handler("on_user_turn_stop_timeout", on_user_turn_stop_timeout)
    scene.worker = PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=MICROPHONE_RATE, audio_out_sample_rate=24_000),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(scene.worker)
    running = asyncio.create_task(runner.run())
    try:
        await until(lambda: scene.room.chunks)
        yield scene
    finally:
        await scene.worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await asyncio.sleep(0.05)
        left = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not left, left


class Scene:
    async def speak(self, text):
        """Let the character say something, and wait until it is heard."""
        spoke = len(self.room.chunks)
        await self.worker.queue_frame(TTSSpeakFrame(text))
        await until(lambda: any(chunk.turn is not None for _, chunk in self.room.chunks[spoke:]))

    @property
    def said(self):
        """What the context holds of the character, and of the user."""
        return [(message["role"], message["content"]) for message in self.context.get_messages()]

    async def quiet(self, seconds=0.4):
        """Wait until nobody has been heard for so long."""
        await until(lambda: not self.video.runner.speaking)
        await asyncio.sleep(seconds)


async def until(true, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for is seen from outside
            await asyncio.sleep(0.01)
