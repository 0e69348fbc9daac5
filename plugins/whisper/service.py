"""The Pipecat service around the recogniser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import soxr
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, InputAudioRawFrame, StartFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from animacy.plugins.whisper.recogniser import SAMPLE_RATE, Recogniser

P99_LATENCY = 1.2
"""Seconds from the end of speech to the text that 99 of 100 sentences keep, the 0.2 s of the VAD included."""


class WhisperSTT(SegmentedSTTService):
    """Understands each stretch of speech once the VAD says that it ended.

    A result that comes after the user went on speaking is not sent alone: it would end the turn before its last words.
    It waits for the next stretch and both go out as one text.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__(
            settings=STTSettings(model=recogniser.model.name, language=recogniser.language),
            ttfs_p99_latency=P99_LATENCY,
            trailing_silence_secs=0,  # the recogniser adds its own
        )
        self._recogniser = recogniser
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="whisper")
        self._waiting: list[str] = []

    def can_generate_metrics(self) -> bool:
        """Time per stretch of speech is reported as processing time and TTFB."""
        return True

    @property
    def wants_wav_segments(self) -> bool:
        """Plain samples, no WAV header."""
        return False

    async def load(self) -> None:
        """Load the model off the event loop; may be called before the pipeline starts. Raises ModelError."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._recogniser.load)

    async def start(self, frame: StartFrame) -> None:
        """Load the model if nobody did, and start."""
        await self.load()
        await super().start(frame)

    async def cleanup(self) -> None:
        """Release the thread; a transcription under way (0.3 s) ends unheard."""
        await super().cleanup()  # type: ignore[no-untyped-call]
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def process_audio_frame(self, frame: InputAudioRawFrame, direction: FrameDirection) -> None:
        """Collect audio, unless muted."""
        if not self.is_muted:
            await super().process_audio_frame(frame, direction)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Understand one stretch of speech (mono 16-bit at the service's sample rate)."""
        await self.start_processing_metrics()
        samples: NDArray[np.float32] = np.frombuffer(audio, np.int16).astype(np.float32) / np.float32(32768)
        if self.sample_rate != SAMPLE_RATE:
            samples = soxr.resample(samples, self.sample_rate, SAMPLE_RATE)
        found = await asyncio.get_running_loop().run_in_executor(self._worker, self._recogniser.transcribe, samples)
        await self.stop_processing_metrics()
        logger.debug(
            f"{self}: {len(samples) / SAMPLE_RATE:.1f} s of audio: {found.text!r} "
            f"(no speech {found.no_speech:.2f}, score {found.score:.2f})"
        )
        if found.text:
            self._waiting.append(found.text)
        if not self._waiting or self._user_speaking or not self._segment_queue.empty():
            return
        text, self._waiting = " ".join(self._waiting), []
        yield TranscriptionFrame(
            text, self._user_id, time_now_iso8601(), Language(self._recogniser.language), finalized=True
        )
