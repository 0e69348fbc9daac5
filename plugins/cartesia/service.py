"""Cartesia as a Pipecat service.

Not built on Pipecat's own, which asks for no phonemes and drops an answer whose connection breaks or whose turn is
refused because too many others speak.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from pipecat.frames.frames import Frame, StartFrame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from animacy.core.pipeline.clauses import ClauseAggregator
from animacy.core.pipeline.connected import Connected
from animacy.core.pipeline.frames import SpeechFrame
from animacy.core.pipeline.remote import RemoteError
from animacy.core.pipeline.voice import Speech
from animacy.plugins.cartesia import CartesiaSettings
from animacy.plugins.cartesia.link import Link
from animacy.plugins.cartesia.server import Server

UNSPACED = ("zh", "ja")
"""Languages that are written without spaces, and timed by the letter."""


class CartesiaTTS(Connected, TTSService):
    """Speaks clause by clause, each answer in a context of its own, with its words and mouth shapes timed.

    Parameters:
        settings: the recipe's.
        voice: a voice's id.
        language: a BCP 47 tag.
    """

    def __init__(self, settings: CartesiaSettings, voice: str, language: str) -> None:
        server = Server(settings, voice, language)
        super().__init__(
            key=("cartesia", settings, voice, language),
            check=server.check,
            push_start_frame=True,
            push_text_frames=False,  # words come timed
            append_trailing_space=True,  # the server joins the texts of an answer as they are
            # Thinking may take seconds between two clauses; the answer is over when the server says so.
            stop_frame_timeout_s=30.0,
            settings=TTSSettings(model=settings.model, voice=voice, language=language),
        )
        # Pipecat 1.14 takes no aggregator as an argument; test_cartesia notices when this attribute goes.
        self._text_aggregator = ClauseAggregator(language=language)  # type: ignore[assignment]
        self._chosen = settings
        self._unspaced = language.lower().startswith(UNSPACED)
        self._server = server
        self._link: Link | None = None

    def can_generate_metrics(self) -> bool:
        """Time to the first sound and characters are reported."""
        return True

    @property
    def supports_processing_metrics(self) -> bool:
        """No: a text is only handed over, and its sound comes by itself."""
        return False

    async def start(self, frame: StartFrame) -> None:
        """Connect."""
        await super().start(frame)
        if self._link is None:
            self._connect()

    def _connect(self) -> None:
        chosen = self._chosen
        self._link = Link(
            self._server, self, sample_rate=self.sample_rate, visemes=chosen.visemes, attempts=chosen.attempts
        )
        self._hold_connection(self._link.run())

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Send a text; its sound comes by itself."""
        if self._link is not None:
            self._link.say(context_id, text)
            await self.start_tts_usage_metrics(text)
        yield None

    async def flush_audio(self, context_id: str | None = None) -> None:
        """The answer is complete."""
        if self._link is not None and context_id is not None:
            self._link.finish(context_id)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Let the server stop speaking."""
        if self._link is not None:
            self._link.cancel(context_id)
        await super().on_audio_context_interrupted(context_id)

    async def on_audio_context_completed(self, context_id: str) -> None:
        """Forget an answer whose sound did not come for too long."""
        if self._link is not None:
            self._link.cancel(context_id)
        await super().on_audio_context_completed(context_id)

    async def speech(self, context: str, speech: Speech) -> None:
        """Sound of an answer came."""
        frame = TTSAudioRawFrame(speech.pcm, self.sample_rate, 1, context_id=context)
        if speech.visemes is not None:
            frame = SpeechFrame(speech.pcm, self.sample_rate, 1, context_id=context, visemes=speech.visemes)
        await self.append_to_audio_context(context, frame)

    async def words(self, context: str, words: list[tuple[str, float]]) -> None:
        """Words of an answer came, with their times."""
        await self.add_word_timestamps(
            words,
            context,
            includes_inter_frame_spaces=True if self._unspaced else None,
            pre_merge_tokens=self._unspaced,
        )

    async def done(self, context: str) -> None:
        """An answer is spoken."""
        await self.append_to_audio_context(context, TTSStoppedFrame(context_id=context))
        await self.remove_audio_context(context)

    async def given_up(self, error: RemoteError) -> None:
        """The connection is lost for good: nothing more comes of any answer."""
        await self._forget_answers()
        await super().given_up(error)

    async def stand_by(self) -> None:
        """Hang up: another voice speaks."""
        await super().stand_by()
        self._link = None
        await self._forget_answers()

    async def _forget_answers(self) -> None:
        for context in self.get_audio_contexts():
            await self.remove_audio_context(context)
