"""CharacterVideoProcessor: the renderer's place in a Pipecat pipeline.

It swallows the voice and gives it back as frames of the character with the audio of their slots. The frames come from
the runner's own task, because an interruption cancels what a processor has in hand and the picture must not freeze.
"""

from __future__ import annotations

import asyncio

from pipecat.audio.resamplers.soxr_stream_resampler import SOXRStreamAudioResampler
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputTransportReadyFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.pipeline.frames import CharacterChunkFrame, SpeechFrame
from animacy.core.video.contract import CharacterState, RenderedChunk, Renderer, VideoFormat
from animacy.core.video.runner import VideoRunner


class CharacterVideoProcessor(FrameProcessor):
    """Turns speech into a speaking picture.

    The renderer must have been prepared. Frames begin to leave when the output says it is ready, long before the first
    word, and go on until the pipeline ends.
    """

    def __init__(self, renderer: Renderer, video: VideoFormat) -> None:
        super().__init__()
        self.runner = VideoRunner(renderer, video, self._emit)
        self._video = video
        self._resampler = SOXRStreamAudioResampler()
        self._turns: dict[str | None, int] = {}
        self._dead: set[str] = set()
        self._heard_turn: int | None = None
        self._ended: set[int] = set()
        self._watch: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Swallow speech, follow the conversation's state, pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            await self._speak(frame)
            return
        if isinstance(frame, InterruptionFrame):
            await self._fall_silent()
        elif isinstance(frame, TTSStartedFrame):
            # Known from its first sign of life, so that an interruption before its first sound kills it too.
            self._turn_of(frame.context_id)
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
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        """Release the renderer."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._stop_clock()

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
        await self.runner.push_audio(pcm, turn, visemes)

    def _turn_of(self, context_id: str | None) -> int:
        turn = self._turns.get(context_id)
        if turn is None:
            turn = self._turns[context_id] = self.runner.begin_turn()
        return turn

    def _end_context(self, context_id: str | None) -> None:
        turn = self._turns.pop(context_id, None)
        if turn is not None:
            self.runner.end_turn(turn)
            self._ended.add(turn)

    async def _fall_silent(self) -> None:
        self.runner.interrupt()
        self._dead = {context for context in self._turns if context is not None}
        self._turns.clear()
        self._ended.clear()
        if self._heard_turn is not None:
            self._heard_turn = None
            await self.broadcast_frame(BotStoppedSpeakingFrame)

    async def _emit(self, chunk: RenderedChunk) -> bool:
        """Send a chunk, and tell both directions when the voice is first and last heard."""
        if chunk.turn is not None and chunk.turn != self._heard_turn:
            self._heard_turn = chunk.turn
            self.runner.set_state(CharacterState.SPEAKING)
            await self.broadcast_frame(BotStartedSpeakingFrame)
        await self.push_frame(CharacterChunkFrame(chunk))
        if chunk.turn is None and self._heard_turn is not None and self._heard_turn in self._ended:
            self._ended.discard(self._heard_turn)
            self._heard_turn = None
            self.runner.set_state(CharacterState.LISTENING)
            await self.broadcast_frame(BotStoppedSpeakingFrame)
        return True
