"""Kokoro as a Pipecat service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence

from loguru import logger
from pipecat.frames.frames import ErrorFrame, Frame, StartFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from animacy.core.errors import AnimacyError
from animacy.core.pipeline.clauses import ClauseAggregator
from animacy.core.pipeline.frames import SpeechFrame
from animacy.core.shared import Share
from animacy.core.video.contract import Viseme
from animacy.plugins.kokoro.kept import Speech
from animacy.plugins.kokoro.resample import resampled
from animacy.plugins.kokoro.speaker import Speaker
from animacy.plugins.kokoro.voices import Voice

NOTHING_SECONDS = 0.01
"""Of silence, where a clause has no sound."""


class KokoroTTS(TTSService):
    """Speaks clause by clause, in windows, every clause with its mouth shapes ahead of the sound.

    All computing happens in the speaker's thread, one window at a time: an interruption is heard after the window that
    is being made, and nothing that comes later, from whichever conversation, waits longer than that.
    """

    def __init__(self, speaker: Share[Speaker], *, model: str, voice: Voice) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            # A slow machine may think for seconds between two clauses; the answer is over when the model says so.
            stop_frame_timeout_s=30.0,
            settings=TTSSettings(model=model, voice=voice.name, language=voice.language),
        )
        # Pipecat 1.14 takes no aggregator as an argument; test_kokoro notices when this attribute goes.
        self._text_aggregator = ClauseAggregator(language=voice.language)  # type: ignore[assignment]
        self._speaker = speaker

    def can_generate_metrics(self) -> bool:
        """Time to the first sound, processing time and characters are reported."""
        return True

    async def load(self) -> None:
        """Take a share in the voice, loading it if nobody has; may be called before the pipeline starts.

        Raises AnimacyError.
        """
        await self._speaker.load()

    async def start(self, frame: StartFrame) -> None:
        """Load the model if nobody did, and start."""
        await self.load()
        await super().start(frame)

    async def cleanup(self) -> None:
        """Give the share in the voice back; a window being made ends unheard."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        self._speaker.release()

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak `text` as SpeechFrames. A failure becomes an ErrorFrame and the rest of the clause is silent."""
        spoken = False
        try:
            await self.start_tts_usage_metrics(text)
            pieces = resampled(self._speaker.value.synthesize(text), self.sample_rate)
            # One window at a time goes to the thread. When this generator is cancelled, nothing more is asked for.
            while piece := await self._speaker.run(_next, pieces):
                await self.stop_ttfb_metrics()
                spoken = True
                yield self._sound(piece.pcm, context_id, piece.visemes)
        except Exception as error:
            message = str(error) if isinstance(error, AnimacyError) else f"Kokoro failed: {error}"
            logger.opt(exception=error).error(message)
            yield ErrorFrame(error=message, exception=error)
        finally:
            await self.stop_ttfb_metrics()
        if not spoken:
            # Pipecat takes a last clause without sound (an emoji) for one whose sound is still to come, and keeps the
            # next answer waiting for it as long as `stop_frame_timeout_s`.
            yield self._sound(bytes(2 * round(NOTHING_SECONDS * self.sample_rate)), context_id)

    def _sound(self, pcm: bytes, context_id: str, visemes: Sequence[Viseme] = ()) -> SpeechFrame:
        return SpeechFrame(
            audio=pcm, sample_rate=self.sample_rate, num_channels=1, context_id=context_id, visemes=tuple(visemes)
        )


def _next(pieces: Iterator[Speech]) -> Speech | None:
    return next(pieces, None)
