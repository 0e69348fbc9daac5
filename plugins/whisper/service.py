"""The Pipecat service around the recogniser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
import soxr
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from animacy.core.pipeline.frames import ForeseenTranscriptFrame, RelievedFrame, ResumeFrame
from animacy.core.shared import Share
from animacy.plugins.whisper.pauses import Pauses
from animacy.plugins.whisper.recogniser import SAMPLE_RATE, Recogniser, Transcript

P99_LATENCY = 1.2
"""Seconds from the end of speech to the text that 99 of 100 sentences keep, the 0.2 s of the VAD included."""


@dataclass(frozen=True, slots=True)
class _Guess:
    """What is being understood of an utterance that may not be over: its first `size` bytes."""

    size: int
    found: asyncio.Task[Transcript]


class WhisperSTT(SegmentedSTTService):
    """Understands each stretch of speech when it pauses, and says so once the VAD is sure that it ended.

    While the VAD still waits, the utterance so far is understood already. If only silence follows, that is the result;
    what it will probably be goes ahead of it in a ForeseenTranscriptFrame.

    A result that comes after the user went on speaking is not sent alone: it would end the turn before its last words.
    It waits for the next stretch and both go out as one text.
    """

    def __init__(self, recogniser: Share[Recogniser], *, model: str, language: str) -> None:
        super().__init__(
            settings=STTSettings(model=model, language=language),
            ttfs_p99_latency=P99_LATENCY,
            trailing_silence_secs=0,  # the recogniser adds its own
        )
        self._recogniser = recogniser
        self._waiting: list[str] = []
        self._sent: list[str] = []
        self._pauses = Pauses(SAMPLE_RATE)
        self._guess: _Guess | None = None

    def can_generate_metrics(self) -> bool:
        """Time per stretch of speech is reported as processing time and TTFB."""
        return True

    @property
    def wants_wav_segments(self) -> bool:
        """Plain samples, no WAV header."""
        return False

    async def load(self) -> None:
        """Take a share in the model, loading it if nobody has; may be called before the pipeline starts.

        Raises ModelError.
        """
        await self._recogniser.load()

    async def start(self, frame: StartFrame) -> None:
        """Load the model if nobody did, and start."""
        await self.load()
        await super().start(frame)

    async def cleanup(self) -> None:
        """Give the share in the model back; a transcription under way (0.3 s) ends unheard."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._forget_guess()
        self._recogniser.release()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Follow the user's turns."""
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._pauses = Pauses(self.sample_rate)
        elif isinstance(frame, UserStoppedSpeakingFrame | ResumeFrame | RelievedFrame):
            self._sent.clear()  # the turn is over, or it was none
        await super().process_frame(frame, direction)

    async def process_audio_frame(self, frame: InputAudioRawFrame, direction: FrameDirection) -> None:
        """Collect audio, unless muted, and try to understand it at pauses."""
        if self.is_muted:
            return
        await super().process_audio_frame(frame, direction)
        if self._user_speaking and self._pauses.hear(_samples(frame.audio)):
            await self._try_to_understand()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Understand one stretch of speech (mono 16-bit at the service's sample rate)."""
        await self.start_processing_metrics()
        found = await self._guessed(audio) or await self._understand(audio)
        await self.stop_processing_metrics()
        logger.debug(
            f"{self}: {len(audio) / 2 / self.sample_rate:.1f} s of audio: {found.text!r} "
            f"(no speech {found.no_speech:.2f}, score {found.score:.2f})"
        )
        if found.text:
            self._waiting.append(found.text)
        elif not self._waiting and not self._user_speaking:
            yield ForeseenTranscriptFrame("")  # no words: nobody needs to wait for any
        if not self._waiting or self._user_speaking or not self._segment_queue.empty():
            return
        text, self._waiting = " ".join(self._waiting), []
        self._sent.append(text)
        yield TranscriptionFrame(
            text, self._user_id, time_now_iso8601(), Language(self._recogniser.value.language), finalized=True
        )

    async def _understand(self, audio: bytes) -> Transcript:
        samples = _samples(audio)
        if self.sample_rate != SAMPLE_RATE:
            samples = soxr.resample(samples, self.sample_rate, SAMPLE_RATE)
        return await self._recogniser.run(self._recogniser.value.transcribe, samples)

    async def _try_to_understand(self) -> None:
        """Start on what was said so far, unless the last try is still under way."""
        if self._guess is not None and not self._guess.found.done():
            return
        audio = bytes(self._audio_buffer)
        self._guess = _Guess(len(audio), asyncio.create_task(self._foresee(audio), name="foresee"))

    async def _foresee(self, audio: bytes) -> Transcript:
        found = await self._understand(audio)
        if found.text:
            await self.push_frame(ForeseenTranscriptFrame(" ".join([*self._sent, *self._waiting, found.text])))
        return found

    async def _guessed(self, audio: bytes) -> Transcript | None:
        """The result of the last try, if only silence came after what it heard."""
        guess, self._guess = self._guess, None
        if guess is None or guess.size > len(audio) or not self._pauses.is_silent(_samples(audio[guess.size :])):
            if guess is not None:
                guess.found.cancel()
            return None
        return await guess.found

    async def _forget_guess(self) -> None:
        guess, self._guess = self._guess, None
        if guess is not None:
            guess.found.cancel()
            await asyncio.gather(guess.found, return_exceptions=True)


def _samples(audio: bytes) -> NDArray[np.float32]:
    """16-bit samples as floats, full scale 1."""
    return np.frombuffer(audio, np.int16).astype(np.float32) / np.float32(32768)
