"""When each stage of a turn was done: an observer that watches frames go by and touches none of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    InterruptionFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed

from animacy.core.pipeline.frames import CharacterChunkFrame

SpeechEnd = Callable[[float], float | None]
"""Given a moment, when the user's last speech before it really ended (both monotonic), if the transport can tell."""


@dataclass(slots=True)
class TurnTimes:
    """One turn's moments (time.monotonic) and words."""

    vad_end: float | None = None
    signal_end: float | None = None
    turn_decision: float | None = None
    final_transcript: float | None = None
    first_llm_token: float | None = None
    first_tts_audio: float | None = None
    first_response_frame: float | None = None
    user: list[str] = field(default_factory=list)
    character: list[str] = field(default_factory=list)
    first_index: int | None = None
    last_index: int | None = None
    interrupted: bool = False
    answered: bool = False

    @property
    def speech_end(self) -> float | None:
        """The best known end of the user's speech."""
        return self.signal_end if self.signal_end is not None else self.vad_end


class Timeline(BaseObserver):
    """Collects TurnTimes. A turn begins when the user starts to speak."""

    def __init__(self, speech_end: SpeechEnd | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(observe_every_push=False)
        self.turns: list[TurnTimes] = []
        self.first_frame: float | None = None
        self._speech_end, self._clock = speech_end, clock

    async def on_push_frame(self, data: FramePushed) -> None:
        """Note the moments; called for every frame, so the common one comes first."""
        frame, now = data.frame, self._clock()
        if isinstance(frame, CharacterChunkFrame):
            self._chunk(frame, now)
        elif isinstance(frame, UserStartedSpeakingFrame):
            if frame.broadcast_sibling_id is None or frame.id < frame.broadcast_sibling_id:
                self._begin()
        elif not self.turns:
            return
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._speech_ended(frame, now)
        elif isinstance(frame, TranscriptionFrame):
            self._transcript(frame, now)
        else:
            self._answering(frame, now)

    def _begin(self) -> None:
        # A user who goes on before anything was answered is still in the same turn.
        if self.turns and not self.turns[-1].answered and self.turns[-1].first_response_frame is None:
            self.turns[-1].turn_decision = self.turns[-1].first_llm_token = self.turns[-1].first_tts_audio = None
            self.turns[-1].character.clear()
            return
        self.turns.append(TurnTimes())

    def _speech_ended(self, frame: VADUserStoppedSpeakingFrame, now: float) -> None:
        turn = self.turns[-1]
        if turn.turn_decision is None:
            turn.vad_end = now - frame.stop_secs
            turn.signal_end = self._speech_end(now) if self._speech_end else None

    def _transcript(self, frame: TranscriptionFrame, now: float) -> None:
        turn = self.turns[-1]
        turn.final_transcript = now
        turn.user.append(frame.text.strip())

    def _answering(self, frame: object, now: float) -> None:
        turn = self.turns[-1]
        if isinstance(frame, UserStoppedSpeakingFrame):
            turn.turn_decision = turn.turn_decision or now
        elif isinstance(frame, TTSTextFrame):
            turn.character.append(frame.text.strip())
        elif isinstance(frame, LLMTextFrame):
            turn.first_llm_token = turn.first_llm_token or now
        elif isinstance(frame, TTSAudioRawFrame):
            turn.first_tts_audio = turn.first_tts_audio or now
        elif isinstance(frame, InterruptionFrame):
            turn.interrupted = turn.interrupted or (turn.first_response_frame is not None and not turn.answered)
        elif isinstance(frame, BotStoppedSpeakingFrame):
            turn.answered = turn.first_response_frame is not None

    def _chunk(self, frame: CharacterChunkFrame, now: float) -> None:
        chunk = frame.chunk
        if chunk is None:
            return
        if self.first_frame is None:
            self.first_frame = now
        if chunk.turn is None or not self.turns or self.turns[-1].turn_decision is None:
            return
        turn = self.turns[-1]
        if turn.first_response_frame is None:
            turn.first_response_frame, turn.first_index = now, chunk.index
        turn.last_index = chunk.index + len(chunk.frames) - 1
