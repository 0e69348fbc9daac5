"""Deepgram as a Pipecat service.

Not built on Pipecat's own, which drops the sound of the time without a connection and gives up at the first "too many
requests".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

from deepgram.listen.v1.types import ListenV1Results
from loguru import logger
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_latency import DEEPGRAM_TTFS_P99
from pipecat.services.stt_service import STTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from animacy.core.pipeline.connected import Connected
from animacy.core.pipeline.frames import ForeseenTranscriptFrame, RelievedFrame, ResumeFrame
from animacy.plugins.deepgram import DeepgramSettings
from animacy.plugins.deepgram.link import Link
from animacy.plugins.deepgram.server import Server

CHECK_RATE = 16_000
"""Sample rate of the connection that only sees whether the server lets one in."""

PAUSE_SECONDS = 0.1
"""Sound behind the last word from which on it may have been the last."""


class DeepgramSTT(Connected, STTService):
    """Sends all sound on as it comes, and passes on what is understood: interim words, and final ones.

    When the VAD hears a pause, the server is asked to make final what it has, so that a turn need not wait.

    Parameters:
        settings: the recipe's.
        language: what people speak, a BCP 47 tag or "multi".
    """

    def __init__(self, settings: DeepgramSettings, language: str) -> None:
        server = Server(settings, language)
        super().__init__(
            key=("deepgram", settings, language),
            check=lambda: server.check(CHECK_RATE),
            settings=STTSettings(model=settings.model, language=language),
            ttfs_p99_latency=DEEPGRAM_TTFS_P99,
        )
        self._chosen, self._language, self._server = settings, language, server
        self._link: Link | None = None
        self._said: list[str] = []  # final words of the turn
        self._any = False  # words since the voice began
        self._foreseen = ""

    def can_generate_metrics(self) -> bool:
        """Time from the end of speech to its text, and seconds of sound, are reported."""
        return True

    async def start(self, frame: StartFrame) -> None:
        """Connect."""
        await super().start(frame)
        if self._link is None:
            self._connect()

    def _connect(self) -> None:
        self._link = Link(
            self._server,
            self.sample_rate,
            kept_seconds=self._chosen.kept_seconds,
            attempts=self._chosen.attempts,
            heard=self._hear,
            told=self.told,
        )
        self._hold_connection(self._link.run())

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Send sound; what is understood comes by itself."""
        if self._link is not None:
            self._link.send(audio)
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Follow the user's voice and turns."""
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._any = False
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            if self._link is not None:
                self.request_finalize()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
                self._link.finalize()
        elif isinstance(frame, UserStoppedSpeakingFrame | ResumeFrame | RelievedFrame):
            self._said.clear()  # the turn is over, or it was none
            self._foreseen = ""

    async def _hear(self, message: ListenV1Results) -> None:
        result = _read(message)
        if result is None:
            logger.warning("Deepgram sent a result that cannot be read; it is left out")
            return
        self._any = self._any or bool(result.text)
        if not message.is_final:
            if result.text:
                await self._pass_on_interim(result)
            return
        if message.from_finalize:
            self.confirm_finalize()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        if result.text:
            self._said.append(result.text)
            await self.emit_stt_usage_metrics()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
            await self.push_frame(TranscriptionFrame(result.text, self._user_id, time_now_iso8601(), self._tongue))
        elif message.from_finalize and not self._any and not self._user_speaking:
            await self.push_frame(ForeseenTranscriptFrame(""))  # no words: nobody needs to wait for any

    async def _pass_on_interim(self, result: _Result) -> None:
        await self.push_frame(InterimTranscriptionFrame(result.text, self._user_id, time_now_iso8601(), self._tongue))
        text = " ".join([*self._said, result.text])
        if result.silence >= PAUSE_SECONDS and text != self._foreseen:
            self._foreseen = text
            await self.push_frame(ForeseenTranscriptFrame(text))

    @property
    def _tongue(self) -> Language | None:
        try:
            return Language(self._language)
        except ValueError:
            return None  # several, or one that Pipecat has no name for


class _Result(NamedTuple):
    """What a result says: its words, and the seconds of sound behind the last of them."""

    text: str
    silence: float


def _read(message: ListenV1Results) -> _Result | None:
    """None when it does not hold what it should: the SDK does not look."""
    try:
        best = message.channel.alternatives[0]
        last = best.words[-1].end if best.words else message.start + message.duration
        return _Result(best.transcript.strip(), message.start + message.duration - last)
    except (AttributeError, IndexError, TypeError):
        return None
