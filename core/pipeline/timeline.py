"""When each stage of a turn was done: an observer that watches frames go by and touches none of them.

A turn is a question and its answer. What the user says before it is clear that it begins a turn is kept aside: a cough
or a "mhm" only holds the answer up, and what the character says afterwards belongs to the same turn.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InterruptionFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed

from animacy.core.pipeline.frames import (
    CharacterChunkFrame,
    FlushFrame,
    HeardWordFrame,
    RelievedFrame,
    ServiceSwitchedFrame,
)
from animacy.core.pipeline.owed import Owed
from animacy.core.report import TurnReport
from animacy.core.video.contract import RenderedChunk

KEPT_TURNS = 500
WORDS_BEHIND_SECONDS = 0.5
"""Within them, the words that go with a tool's result are asked for."""

SpeechEnd = Callable[[float], float | None]
"""Given a moment, when the user's last speech before it really ended (both monotonic), if the transport can tell."""


@dataclass(slots=True)
class TurnTimes:
    """One turn's moments (time.monotonic) and words. `cut_after`: seconds from an interrupter's voice to the cut."""

    index: int = 0
    vad_end: float | None = None
    signal_end: float | None = None
    text_end: float | None = None
    turn_decision: float | None = None
    final_transcript: float | None = None
    first_llm_token: float | None = None
    first_tts_audio: float | None = None
    first_response_frame: float | None = None
    substance: float | None = None
    user: list[str] = field(default_factory=list)
    character: list[str] = field(default_factory=list)
    first_index: int | None = None
    last_index: int | None = None
    cut_after: float | None = None
    interrupted: bool = False
    complete: bool = False

    @property
    def speech_end(self) -> float | None:
        """The best known end of what the user said."""
        return next((end for end in (self.signal_end, self.vad_end, self.text_end) if end is not None), None)

    @property
    def answered(self) -> bool:
        """Whether its answer has begun to be heard."""
        return self.first_response_frame is not None

    def forget_answer(self) -> None:
        """The user goes on: nothing that was prepared counts."""
        self.turn_decision = self.first_llm_token = self.first_tts_audio = None
        self.character.clear()


class Timeline(BaseObserver):
    """Collects the last KEPT_TURNS turns.

    Parameters:
        speech_end: the transport's better knowledge of when the user stopped.
        fps: of the film, to tell frames as seconds.
        openings: what answers may begin with (`character.openings`); the first word after one is the substance.
        on_turn: told of every turn once its answer is over or was interrupted.
        on_first_frame: told once, when the film begins.
        on_switch: told when another service of a list does the work, and seconds since the film began.
    """

    def __init__(
        self,
        speech_end: SpeechEnd | None = None,
        *,
        fps: int = 24,
        openings: Sequence[str] = (),
        on_turn: Callable[[TurnReport], None] | None = None,
        on_first_frame: Callable[[], None] | None = None,
        on_switch: Callable[[ServiceSwitchedFrame, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(observe_every_push=False)
        self.turns: deque[TurnTimes] = deque(maxlen=KEPT_TURNS)
        self.first_frame: float | None = None
        self._speech_end, self._fps, self._clock = speech_end, fps, clock
        self._openings = tuple(_letters(opening) for opening in openings)
        self._on_turn, self._on_first_frame, self._on_switch = on_turn, on_first_frame, on_switch
        self._count = 0
        self._aside: TurnTimes | None = None
        self._speaking: TurnTimes | None = None
        self._heard: int | None = None
        self._held = False
        self._silent = True
        self._owed = Owed()
        self._paid: float | None = None
        self._voice: float | None = None

    def reports(self) -> list[TurnReport]:
        """The turns so far in which the user was heard."""
        return [self._report(turn) for turn in self.turns if turn.speech_end is not None]

    async def on_push_frame(self, data: FramePushed) -> None:
        """Note the moments; called for every frame, so the common one comes first."""
        frame, now = data.frame, self._clock()
        if isinstance(frame, CharacterChunkFrame):
            if frame.chunk is not None:
                self._chunk(frame.chunk, now)
        elif isinstance(frame, FlushFrame):
            self._cut(frame, now)
        elif isinstance(frame, InterruptionFrame):
            if not isinstance(frame, RelievedFrame):
                self._interrupted()
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._silent = True
            self._finish_if_over()
        elif isinstance(frame, ServiceSwitchedFrame):
            self._owed.note(frame)
            if self._on_switch is not None:
                self._on_switch(frame, now - (self.first_frame or now))
        elif not self._user(frame, now) and self.turns:
            self._prepare(self.turns[-1], frame, now)
            if not self.turns[-1].complete:
                self._follow(frame, now)

    def _user(self, frame: Frame, now: float) -> bool:
        """What the user does; False if the frame is about something else."""
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._voice = now - frame.start_secs
            self._aside = TurnTimes() if not self.turns or self.turns[-1].answered else None
        elif isinstance(frame, UserStartedSpeakingFrame):
            # It goes both ways; one of the two is enough.
            if frame.broadcast_sibling_id is None or frame.id < frame.broadcast_sibling_id:
                self._begin()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            turn = self._listening()
            if turn is not None and turn.turn_decision is None:
                turn.vad_end = now - frame.stop_secs
                turn.signal_end = self._speech_end(now) if self._speech_end else None
        elif isinstance(frame, TranscriptionFrame):
            turn = self._listening()
            if turn is None:
                # A speech-to-text may hear what the voice detector takes for none: a whisper, a telephone's keys.
                turn = self._aside = TurnTimes()
            if turn.vad_end is None:
                turn.text_end = now
                turn.signal_end = self._speech_end(now) if self._speech_end else None
            turn.final_transcript = now
            turn.user.append(frame.text.strip())
        elif isinstance(frame, LLMMessagesAppendFrame):
            self._typed(frame, now)
        else:
            return False
        return True

    def _listening(self) -> TurnTimes | None:
        """The turn that what the user says now belongs to, if any."""
        if self._aside is not None:
            return self._aside
        return self.turns[-1] if self.turns and not self.turns[-1].answered else None

    def _begin(self) -> None:
        # A user who goes on before anything was answered is still in the same turn.
        if self.turns and not self.turns[-1].answered:
            self.turns[-1].forget_answer()
        else:
            self._append(self._aside or TurnTimes())
        self._aside = None

    def _typed(self, frame: LLMMessagesAppendFrame, now: float) -> None:
        asked = [m.get("content") for m in frame.messages if isinstance(m, dict) and m.get("role") == "user"]
        if frame.run_llm and asked:
            turn = TurnTimes(text_end=now, user=[text for text in asked if isinstance(text, str)])
            self._append(turn)
            self._decide(turn, now)

    def _append(self, turn: TurnTimes) -> None:
        if self._silent and not self._held:
            self._finish()  # of what was owed to the turn before, nothing came
        turn.index = self._count
        self._count += 1
        self.turns.append(turn)

    def _prepare(self, turn: TurnTimes, frame: Frame, now: float) -> None:
        """The way to an answer."""
        if isinstance(frame, UserStoppedSpeakingFrame):
            self._decide(turn, now)
        elif isinstance(frame, HeardWordFrame):
            self._say(frame.text.strip(), now)
        elif isinstance(frame, LLMTextFrame):
            turn.first_llm_token = turn.first_llm_token or now
        elif isinstance(frame, TTSAudioRawFrame):
            turn.first_tts_audio = turn.first_tts_audio or now

    def _decide(self, turn: TurnTimes, now: float) -> None:
        turn.turn_decision = turn.turn_decision or now
        if self._held and turn is not self._speaking:
            # Nothing was left to go on with after a hold: it is the next answer that will be heard now.
            self._interrupted()

    def _say(self, text: str, now: float) -> None:
        turn = self._speaking or self.turns[-1]
        turn.character.append(text)
        if turn.substance is None and self._openings:
            said = _letters(" ".join(turn.character))
            if not any(opening.startswith(said) for opening in self._openings):
                turn.substance = now

    def _chunk(self, chunk: RenderedChunk, now: float) -> None:
        if self.first_frame is None:
            self.first_frame = now
            if self._on_first_frame is not None:
                self._on_first_frame()
        if self._silent and self._paid is not None and now - self._paid > WORDS_BEHIND_SECONDS:
            self._finish_if_over()
        if chunk.turn is None:
            return
        if chunk.turn != self._heard:
            self._heard, self._silent = chunk.turn, False
            self._owed.heard()
            self._speak(chunk, now)
        if self._speaking is not None:
            self._speaking.last_index = chunk.index + len(chunk.frames) - 1

    def _speak(self, chunk: RenderedChunk, now: float) -> None:
        """The character begins to speak, or goes on after it was held up."""
        if self._held:
            self._held, self._aside = False, None
            if self._speaking is not None:
                self._speaking.cut_after = None
            return
        turn = self.turns[-1] if self.turns else None
        if turn is None or turn.turn_decision is None or turn.complete:
            # A greeting, or a word after a long silence: nobody asked.
            self._speaking = None
            return
        self._speaking = turn
        if turn.first_response_frame is None:
            turn.first_response_frame, turn.first_index = now, chunk.index

    def _cut(self, frame: FlushFrame, now: float) -> None:
        turn = self._speaking
        if turn is not None:
            if not self._held and self._voice is not None:
                turn.cut_after = now - self._voice
            if turn.first_index is not None and turn.last_index is not None:
                turn.last_index = max(turn.first_index, min(turn.last_index, frame.at_index - 1))
        self._held = not frame.final
        if frame.final:
            self._interrupted()

    def _interrupted(self) -> None:
        if self._speaking is not None:
            self._speaking.interrupted = True
        self._held = False
        self._finish()

    def _follow(self, frame: Frame, now: float) -> None:
        """A tool's result may be the last thing that was waited for, or words may come right behind it."""
        waited = bool(self._owed)
        self._owed.note(frame)
        if waited and not self._owed:
            self._paid = now

    def _finish_if_over(self) -> None:
        if not self._held and not self._owed:
            self._finish()

    def _finish(self) -> None:
        self._owed.forget()
        self._paid = None
        turn, self._speaking = self._speaking, None
        if turn is None or turn.complete:
            return
        turn.complete = True
        if self._on_turn is not None and turn.speech_end is not None:
            self._on_turn(self._report(turn))

    def _report(self, turn: TurnTimes) -> TurnReport:
        return turn_report(turn, self.first_frame or 0.0, self._fps)


def turn_report(turn: TurnTimes, origin: float, fps: int) -> TurnReport:
    """A turn's moments as seconds after the end of what the user said, which must be known.

    `origin` is when the film began (time.monotonic).
    """
    end = turn.speech_end
    assert end is not None

    def after(moment: float | None) -> float | None:
        return None if moment is None else round(moment - end, 3)

    return TurnReport(
        index=turn.index,
        user=" ".join(turn.user),
        character=" ".join(turn.character),
        user_speech_end=round(end - origin, 3),
        speech_end_from="signal" if end == turn.signal_end else "vad" if end == turn.vad_end else "text",
        turn_decision=after(turn.turn_decision),
        final_transcript=after(turn.final_transcript),
        first_llm_token=after(turn.first_llm_token),
        first_tts_audio=after(turn.first_tts_audio),
        first_response_frame=after(turn.first_response_frame),
        substance=after(turn.substance),
        speech_start=None if turn.first_index is None else round(turn.first_index / fps, 3),
        speech_end=None if turn.last_index is None else round((turn.last_index + 1) / fps, 3),
        interrupted=turn.interrupted,
        barge_in_ms=None if turn.cut_after is None else round(1000 * turn.cut_after, 1),
    )


def _letters(text: str) -> str:
    """A text as far as it can be heard: punctuation and spaces may be set differently by a voice."""
    return "".join(letter for letter in text.lower() if letter.isalnum())
