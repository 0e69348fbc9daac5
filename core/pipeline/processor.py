"""CharacterVideoProcessor: the renderer's place in a Pipecat pipeline.

It swallows the voice and gives it back as frames of the character with the audio of their slots, and the voice's text
word by word when it is heard. The frames come from the runner's own task, because an interruption cancels what a
processor has in hand and the picture must not freeze.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from pipecat.audio.resamplers.soxr_stream_resampler import SOXRStreamAudioResampler
from pipecat.frames.frames import (
    AggregatedTextFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputTransportReadyFrame,
    SystemFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.pipeline.echo import EchoCanceller
from animacy.core.pipeline.frames import CharacterChunkFrame, FlushFrame, HoldFrame, ResumeFrame, SpeechFrame
from animacy.core.pipeline.transport import Transport
from animacy.core.pipeline.words import Utterance, Word
from animacy.core.video.contract import CharacterState, RenderedChunk, Renderer, VideoFormat
from animacy.core.video.runner import Cut, VideoRunner

SAID_LATELY_SECONDS = 6.0
COMING_WORDS = 4
BYTES_PER_SAMPLE = 2
NANOSECONDS = 1e9


class CharacterVideoProcessor(FrameProcessor):
    """Turns speech into a speaking picture.

    The renderer must have been prepared. Frames begin to leave when the output says it is ready, long before the first
    word, and go on until the pipeline ends. Text of the voice, and whatever data and control frames come behind it,
    leave when the text has been heard; an interruption drops what was not.
    """

    def __init__(self, renderer: Renderer, video: VideoFormat) -> None:
        super().__init__()
        self._transport: Transport | None = None
        self._canceller: EchoCanceller | None = None
        self.runner = VideoRunner(renderer, video, self._emit, playout_delay=self._playout_delay)
        self._video = video
        self._resampler = SOXRStreamAudioResampler()
        self._turns: dict[str | None, int] = {}
        self._utterances: dict[str | None, Utterance] = {}
        self._time_bases: dict[str | None, int] = {}
        self._early: dict[str | None, list[TTSTextFrame]] = {}  # timed words before their context's first sound
        self._last_time = 0  # of a word, on the pipeline's clock, in nanoseconds
        self._asides: set[str | None] = set()  # contexts whose words do not belong into the conversation
        self._dead: set[str] = set()
        self._coming: deque[Word | Frame] = deque()
        self._in_order = asyncio.Lock()
        self._said: deque[tuple[float, str]] = deque(maxlen=100)
        self._audible = False
        self._watch: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Swallow speech, follow the conversation's state, pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            await self._speak(frame)
        elif isinstance(frame, TTSTextFrame) and direction is FrameDirection.DOWNSTREAM:
            await self._note_spoken(frame)
        elif isinstance(frame, HoldFrame):
            await self._hold()
        elif isinstance(frame, ResumeFrame):
            self.runner.resume()
        else:
            await self._follow(frame)
            if isinstance(frame, SystemFrame) or direction is FrameDirection.UPSTREAM:
                await self.push_frame(frame, direction)
            else:
                # A text with a time comes from a voice that will time its words as well.
                if isinstance(frame, AggregatedTextFrame) and frame.will_be_spoken and frame.pts is None:
                    self._utterance(frame.context_id).announce(frame.text, frame.id)
                await self._let_follow(frame)

    async def cleanup(self) -> None:
        """Release the renderer."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._stop_clock()

    @property
    def sample_rate(self) -> int:
        """Of the character's sound, in Hz."""
        return self._video.sample_rate

    def heard_through(self, transport: Transport) -> None:
        """Tell how long what leaves is on its way to the user's ear."""
        self._transport = transport

    def heard_by(self, canceller: EchoCanceller) -> None:
        """Let a canceller know what the microphone may hear of the character."""
        self._canceller = canceller

    def said_lately(self) -> list[str]:
        """The words that were heard in the last seconds, and those just coming: what a microphone may pick up."""
        since = time.monotonic() - SAID_LATELY_SECONDS
        coming = [item.text for item in self._coming if isinstance(item, Word)][:COMING_WORDS]
        return [word for moment, word in self._said if moment >= since] + coming

    def seconds_left(self) -> float:
        """How much the character still has to say; infinite if that is not known yet."""
        return self.runner.seconds_left()

    async def _follow(self, frame: Frame) -> None:
        if isinstance(frame, InterruptionFrame):
            await self._fall_silent()
        elif isinstance(frame, TTSStartedFrame):
            # Known from its first sign of life, so that an interruption before its first sound kills it too.
            self._turn_of(frame.context_id)
            if not frame.append_to_context:
                self._asides.add(frame.context_id)
        elif isinstance(frame, TTSStoppedFrame):
            self._end_context(frame.context_id)
        elif isinstance(frame, UserStartedSpeakingFrame):
            self.runner.set_state(CharacterState.LISTENING)
        elif isinstance(frame, UserStoppedSpeakingFrame):
            self.runner.set_state(CharacterState.THINKING)
        elif isinstance(frame, OutputTransportReadyFrame):
            self._start_clock()
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop_clock()
            await self._drop_unheard(keep_frames=isinstance(frame, EndFrame))

    def _start_clock(self) -> None:
        if self._watch is None:
            self.runner.start()
            self._watch = self.create_task(self._report_failure(), "video runner watch")

    async def _stop_clock(self) -> None:
        if self._watch is not None:
            await self.cancel_task(self._watch)
            self._watch = None
        await self.runner.close()

    async def _report_failure(self) -> None:
        """A renderer that dies must not leave a silent, frozen session behind."""
        try:
            await self.runner.wait()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever a renderer plugin raises ends the session with its message
            await self.push_error(f"the renderer failed: {error}", exception=error, force_treat_as_permanent=True)

    async def _speak(self, frame: TTSAudioRawFrame) -> None:
        if frame.context_id in self._dead:
            self.runner.stats.refused += 1
            return
        turn = self._turn_of(frame.context_id)
        pcm = frame.audio
        if frame.sample_rate != self._video.sample_rate:
            pcm = await self._resampler.resample(pcm, frame.sample_rate, self._video.sample_rate)
        visemes = frame.visemes if isinstance(frame, SpeechFrame) else None
        foretold = round(max((viseme.end for viseme in visemes or ()), default=0.0) * self._video.sample_rate)
        samples = len(pcm) // BYTES_PER_SAMPLE
        utterance = self._utterance(frame.context_id)
        self._coming.extend(utterance.sound(turn, self.runner.pushed(turn), samples, foretold))
        if frame.context_id not in self._time_bases:
            # Pipecat counts a context's times from here; they never go back before the last one of the context before.
            self._time_bases[frame.context_id] = max(self.get_clock().get_time(), self._last_time)
            for word in self._early.pop(frame.context_id, ()):
                self._note_timed(word)
        await self.runner.push_audio(pcm, turn, visemes)

    def _turn_of(self, context_id: str | None) -> int:
        turn = self._turns.get(context_id)
        if turn is None:
            turn = self._turns[context_id] = self.runner.begin_turn()
        return turn

    def _end_context(self, context_id: str | None) -> None:
        self._utterance(context_id).close()
        del self._utterances[context_id]
        self._time_bases.pop(context_id, None)
        self._early.pop(context_id, None)
        turn = self._turns.pop(context_id, None)
        if turn is not None:
            self.runner.end_turn(turn)

    async def _hold(self) -> None:
        async with self.runner.between_chunks:
            await self._announce_cut(self.runner.hold(), final=False)
        await self._release()

    async def _fall_silent(self) -> None:
        await self._release()
        async with self.runner.between_chunks:
            await self._announce_cut(self.runner.interrupt(), final=True)
        self._dead = {context for context in self._turns if context is not None}
        self._turns.clear()
        self._utterances.clear()
        self._time_bases.clear()
        self._early.clear()
        self._last_time = 0
        self._asides.clear()
        await self._drop_unheard()
        await self._note_silence()

    def _playout_delay(self) -> float:
        return self._transport.playout_delay if self._transport is not None else 0.0

    async def _announce_cut(self, cut: Cut | None, *, final: bool) -> None:
        if self._canceller is not None:
            self._canceller.forget()
        if cut is not None:
            await self.push_frame(FlushFrame(cut.turn, cut.at_index, final))

    async def _emit(self, chunk: RenderedChunk) -> bool:
        """Send a chunk, and tell both directions when the voice is first and last heard."""
        await self.push_frame(CharacterChunkFrame(chunk))
        if self._canceller is not None:
            self._canceller.hear_character(chunk.pcm)
        if chunk.turn is not None and not self._audible:
            self._audible = True
            self.runner.set_state(CharacterState.SPEAKING)
            await self.broadcast_frame(BotStartedSpeakingFrame)
        await self._release()
        if self._audible and not self.runner.speaking:
            self.runner.set_state(CharacterState.LISTENING)
            await self._note_silence()
        return True

    async def _note_silence(self) -> None:
        if self._audible:
            self._audible = False
            await self.broadcast_frame(BotStoppedSpeakingFrame)

    # What was said, in words

    def _utterance(self, context_id: str | None) -> Utterance:
        return self._utterances.setdefault(context_id, Utterance(context_id, self._video.sample_rate))

    async def _note_spoken(self, frame: TTSTextFrame) -> None:
        if frame.pts is None:
            self._coming.extend(self._utterance(frame.context_id).spoken(frame.text, frame.segment_id))
        elif frame.context_id in self._time_bases:
            self._note_timed(frame)
        else:
            self._early.setdefault(frame.context_id, []).append(frame)
        await self._release()

    def _note_timed(self, frame: TTSTextFrame) -> None:
        """A voice says when it says a word."""
        assert frame.pts is not None
        self._last_time = frame.pts
        after = max(0, frame.pts - self._time_bases[frame.context_id]) / NANOSECONDS
        self._coming.extend(self._utterance(frame.context_id).timed(frame.text, after, frame.segment_id))

    async def _let_follow(self, frame: Frame) -> None:
        """Pass a frame on when all words before it were heard."""
        self._coming.append(frame)
        await self._release()

    async def _release(self) -> None:
        """Let go of the words that were heard by now, and of the frames behind them."""
        async with self._in_order:
            while self._coming:
                item = self._coming[0]
                if isinstance(item, Word) and not self._was_heard(item):
                    return
                self._coming.popleft()
                if isinstance(item, Word):
                    self._said.append((time.monotonic(), item.text))
                    await self.push_frame(item.frame(add_to_context=item.context_id not in self._asides))
                else:
                    if isinstance(item, TTSStoppedFrame):
                        self._asides.discard(item.context_id)
                    await self.push_frame(item)

    def _was_heard(self, word: Word) -> bool:
        heard = self.runner.heard(word.turn)
        return heard is None or heard >= word.at

    async def _drop_unheard(self, *, keep_frames: bool = False) -> None:
        """Forget the words that will not be heard, and of the frames behind them those that an interruption drops."""
        async with self._in_order:
            coming, self._coming = list(self._coming), deque()
            for item in coming:
                if isinstance(item, Frame) and (keep_frames or not item.interruptible):
                    await self.push_frame(item)
