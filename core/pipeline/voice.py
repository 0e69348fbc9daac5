"""A voice that is computed in this process, as a Pipecat service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import soxr
from loguru import logger
from pipecat.frames.frames import ErrorFrame, Frame, StartFrame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from animacy.core.errors import AnimacyError
from animacy.core.pipeline.clauses import ClauseAggregator
from animacy.core.pipeline.frames import SpeechFrame
from animacy.core.shared import Share
from animacy.core.video.contract import Viseme
from animacy.core.video.visemes import moved

PAUSES = {",": 0.10, ";": 0.18, ":": 0.18, "—": 0.15, "…": 0.30, ".": 0.26, "!": 0.26, "?": 0.28}
"""Seconds of silence after what ends with the mark, before the next clause's own short onset."""

PAUSE = 0.04
"""Seconds of silence after a clause that ends without a mark."""

NOTHING_SECONDS = 0.01
"""Of silence, where a clause has no sound."""

_CLOSERS = '"”) '


class Speech(NamedTuple):
    """A piece of speech: mono 16-bit samples.

    `visemes` are seconds from the first sample of this piece. A piece may hold those of pieces to come, which then have
    none. None says that they are not known, and the mouth is read from the sound.
    """

    pcm: bytes
    visemes: tuple[Viseme, ...] | None = ()


class Speaker(Protocol):
    """A voice with its model in memory. Every call computes, in one thread."""

    @property
    def sample_rate(self) -> int:
        """Of its sound, in Hz."""
        ...

    def synthesize(self, text: str) -> Iterator[Speech]:
        """Speak a text piece by piece; each is made when it is asked for. Yields nothing if nothing is sayable."""
        ...


class LocalTTS(TTSService):
    """Speaks clause by clause, in the pieces in which the speaker makes them.

    All computing happens in the speaker's thread, one piece at a time: an interruption is heard after the piece that
    is being made, and nothing that comes later, from whichever conversation, waits longer than that.

    Parameters:
        speaker: loaded with the service, released with it.
        name: of the plugin, for messages.
        model, voice, language: for metrics and traces; language as a BCP 47 tag.
    """

    def __init__(self, speaker: Share[Speaker], *, name: str, model: str, voice: str | None, language: str) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            # A slow machine may think for seconds between two clauses; the answer is over when the model says so.
            stop_frame_timeout_s=30.0,
            settings=TTSSettings(model=model, voice=voice, language=language),
        )
        # Pipecat 1.14 takes no aggregator as an argument; test_kokoro notices when this attribute goes.
        self._text_aggregator = ClauseAggregator(language=language)  # type: ignore[assignment]
        self._plugin = name
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
        """Give the share in the voice back; a piece being made ends unheard."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        self._speaker.release()

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak `text`. A failure becomes an ErrorFrame and the rest of the clause is silent."""
        spoken = False
        try:
            await self.start_tts_usage_metrics(text)
            speaker = self._speaker.value
            pieces = resampled(speaker.synthesize(text), speaker.sample_rate, self.sample_rate)
            # One piece at a time goes to the thread. When this generator is cancelled, nothing more is asked for.
            while piece := await self._speaker.run(_next, pieces):
                await self.stop_ttfb_metrics()
                spoken = True
                yield self._sound(piece, context_id)
        except Exception as error:
            message = str(error) if isinstance(error, AnimacyError) else f"{self._plugin} failed: {error}"
            logger.opt(exception=error).error(message)
            yield ErrorFrame(error=message, exception=error)
        finally:
            await self.stop_ttfb_metrics()
        if not spoken:
            # Pipecat takes a last clause without sound (an emoji) for one whose sound is still to come, and keeps the
            # next answer waiting for it as long as `stop_frame_timeout_s`.
            yield self._sound(Speech(bytes(2 * round(NOTHING_SECONDS * self.sample_rate))), context_id)

    def _sound(self, piece: Speech, context_id: str) -> TTSAudioRawFrame:
        sound = TTSAudioRawFrame(piece.pcm, self.sample_rate, 1, context_id)
        if piece.visemes is None:
            return sound
        return SpeechFrame(piece.pcm, self.sample_rate, 1, context_id, visemes=piece.visemes)


def pause_after(spoken: str) -> float:
    """Seconds of silence that fit the last mark of a text or its phonemes."""
    return PAUSES.get(spoken.rstrip(_CLOSERS)[-1:], PAUSE)


def resampled(pieces: Iterator[Speech], rate: int, wanted: int) -> Iterator[Speech]:
    """The same speech at `wanted` Hz instead of `rate`, seamless across pieces and with the mouth where it was."""
    if wanted == rate:
        yield from pieces
        return
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="int16")
    taken = given = 0.0
    unknown: tuple[Viseme, ...] | None = ()
    for piece in pieces:
        sound = stream.resample_chunk(np.frombuffer(piece.pcm, np.int16))
        # The filter holds some samples back, so that the new piece begins with the end of the last.
        yield Speech(sound.tobytes(), moved(piece.visemes, taken - given) if piece.visemes else piece.visemes)
        taken += len(piece.pcm) / 2 / rate
        given += len(sound) / wanted
        unknown = None if piece.visemes is None else ()
    rest = stream.resample_chunk(np.zeros(0, np.int16), last=True)
    if len(rest):
        yield Speech(rest.tobytes(), unknown)


def _next(pieces: Iterator[Speech]) -> Speech | None:
    return next(pieces, None)
