"""TurnGate: decides whether a sound of the user is a turn, a backchannel, an echo or a cough.

While the character speaks, it falls silent at the first sign of a voice (HoldFrame), because whoever really interrupts
must not be talked over. Then the sound is judged: by how long it lasts, and by its words. Only a real interruption
lets the user's turn begin; otherwise the character goes on (ResumeFrame), and nobody behind the gate learns that
anything was said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    TranscriptionFrame,
    UserBackchannelFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.pipeline.frames import (
    ForeseenTranscriptFrame,
    HoldFrame,
    InterruptedFrame,
    ResumeFrame,
    UserTurnFrame,
)
from animacy.core.pipeline.turns.backchannels import Phrase, is_backchannel
from animacy.core.pipeline.turns.overheard import is_echo

ECHO_SECONDS = 1.0
"""So long after the character's speech its echo may still come."""
LOUDSPEAKER_SECONDS = 20.0
"""After an echo, the microphone is taken to hear the character for so long: it speaks on until words are understood."""
WORDLESS_SECONDS = 1.5
"""After the end of a voice; without a transcript by then, it was no speech."""
INTERRUPTED_SECONDS = 0.3
"""An interruption takes no longer to the end of the pipeline; afterwards nobody waits for it any more."""
ANSWER_SECONDS = 1.0
"""Who says "yes" when the character has only so much left to say does answer it."""
WAITING_TRANSCRIPTS = 32


class Speaker(Protocol):
    """What the gate asks about the character."""

    def said_lately(self) -> Sequence[str]:
        """Its words that a microphone may have picked up, in order."""
        ...

    def seconds_left(self) -> float:
        """How much it still has to say; infinite if that is not known yet."""
        ...


class TurnGate(FrameProcessor):
    """Stands between the stt and the user aggregator, whose turns begin with this gate's UserTurnFrame.

    Parameters:
        interrupt_after: seconds of voice that are an interruption whatever the words.
        start, pause: seconds of voice and of silence after which the voice detector tells of them.
        phrases: the backchannels.
        speaker: the character.
    """

    def __init__(
        self,
        *,
        interrupt_after: float,
        start: float,
        pause: float,
        phrases: frozenset[Phrase],
        speaker: Speaker,
    ) -> None:
        super().__init__()
        # The end of a voice is known `pause` later: only then has one been heard that lasted so long.
        self._patience = max(0.0, interrupt_after + pause - start)
        self._wordless = max(0.0, WORDLESS_SECONDS - pause)
        self._phrases, self._speaker = phrases, speaker
        self._in_turn = self._voice = self._audible = self._held = self._doubtful = False
        self._fell_silent = self._echo_until = -1e9
        self._waiting: list[TranscriptionFrame] = []
        self._timer: asyncio.Task[None] | None = None
        self._interrupting: asyncio.Task[None] | None = None
        self._after_it: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Follow both voices; keep back what is not meant for the character."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            # What begins a turn must survive the interruption that it causes.
            frame.interruptible = False
            await self._understood(frame)
        elif isinstance(frame, InterimTranscriptionFrame):
            if self._in_turn:  # before, it may be an echo or a backchannel
                await self._let_in(frame)
        elif isinstance(frame, ForeseenTranscriptFrame):
            await self._foreseen(frame)
        else:
            await self.push_frame(frame, direction)
            await self._follow(frame)

    async def cleanup(self) -> None:
        """Stop waiting."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._stop()

    async def _follow(self, frame: Frame) -> None:
        if isinstance(frame, VADUserStartedSpeakingFrame):
            await self._voice_began()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            await self._voice_ended()
        elif isinstance(frame, BotStartedSpeakingFrame):
            self._audible = True
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._audible = False
            self._fell_silent = self._now()
        elif isinstance(frame, UserStartedSpeakingFrame):
            self._in_turn = True
        elif isinstance(frame, UserStoppedSpeakingFrame):
            self._in_turn = False
        elif isinstance(frame, InterruptionFrame):
            self._held = self._doubtful = False
            await self._wait_no_more()
        elif isinstance(frame, InterruptedFrame):
            await self._interrupted()
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop()

    async def _voice_began(self) -> None:
        self._voice = True
        await self._wait_no_more()
        if self._in_turn:
            return
        if not (self._audible or self._held or self._echo_possible()):
            await self._begin_turn()
            return
        self._doubtful = True
        if self._now() < self._echo_until:
            return  # the loudspeaker again, most likely: only words count
        if self._audible and not self._held:
            self._held = True
            await self.push_frame(HoldFrame())
        self._wait(self._patience, self._begin_turn)

    async def _voice_ended(self) -> None:
        self._voice = False
        await self._wait_no_more()
        if not self._doubtful:
            return
        if self._waiting:
            await self._settle()
        else:
            self._wait(self._wordless, self._settle)

    async def _understood(self, frame: TranscriptionFrame) -> None:
        if self._in_turn:
            await self._let_in(frame)
            return
        self._waiting = [*self._waiting, frame][-WAITING_TRANSCRIPTS:]
        if self._means_something(" ".join(waiting.text for waiting in self._waiting)):
            await self._begin_turn()
        elif not self._voice:
            await self._settle()

    async def _foreseen(self, frame: ForeseenTranscriptFrame) -> None:
        if not frame.text.strip():
            if self._doubtful and not self._voice and not self._waiting:
                await self._settle()
            return
        if self._doubtful and self._means_something(frame.text):
            await self._begin_turn()
        if self._in_turn:
            await self._let_in(frame)

    def _means_something(self, text: str) -> bool:
        """Whether these words are for the character, rather than its own or a sign that somebody listens."""
        if self._echo_possible() and is_echo(text, self._speaker.said_lately()):
            self._echo_until = self._now() + LOUDSPEAKER_SECONDS
            return False
        listening = (self._audible or self._held) and self._speaker.seconds_left() > ANSWER_SECONDS
        return bool(text.strip()) and not (listening and is_backchannel(text, self._phrases))

    def _echo_possible(self) -> bool:
        # A transcript comes a while after its sound: what was doubtful when it began still is.
        return self._audible or self._held or self._doubtful or self._now() < self._fell_silent + ECHO_SECONDS

    async def _begin_turn(self) -> None:
        interrupts = self._audible or self._held
        self._in_turn, self._held, self._doubtful = True, False, False
        await self._wait_no_more()
        if interrupts and self._interrupting is None:
            self._interrupting = self._later(INTERRUPTED_SECONDS, self._interrupted)
        await self.push_frame(UserTurnFrame())
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            await self._let_in(frame)

    async def _let_in(self, frame: Frame) -> None:
        """Pass words on, but not before what they interrupt: the conversation would be written in the wrong order."""
        if self._interrupting is None:
            await self.push_frame(frame)
        else:
            self._after_it.append(frame)

    async def _interrupted(self) -> None:
        await self._cancel(self._interrupting)
        self._interrupting = None
        waiting, self._after_it = self._after_it, []
        for frame in waiting:
            await self.push_frame(frame)

    async def _settle(self) -> None:
        """It was nothing: let the character go on."""
        waiting, self._waiting = self._waiting, []
        held, self._held, self._doubtful = self._held, False, False
        await self._wait_no_more()
        for frame in waiting:
            if is_backchannel(frame.text, self._phrases):
                await self.push_frame(UserBackchannelFrame(frame.text, frame.user_id, frame.timestamp))
        if held or waiting:
            await self.push_frame(ResumeFrame())
            await self.push_frame(ResumeFrame(), FrameDirection.UPSTREAM)

    def _now(self) -> float:
        return self.get_event_loop().time()

    def _wait(self, seconds: float, then: Callable[[], Awaitable[None]]) -> None:
        self._timer = self._later(seconds, then)

    async def _wait_no_more(self) -> None:
        timer, self._timer = self._timer, None
        await self._cancel(timer)

    def _later(self, seconds: float, then: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        async def run() -> None:
            await asyncio.sleep(seconds)
            await then()

        return self.create_task(run(), "turn gate")

    async def _cancel(self, timer: asyncio.Task[None] | None) -> None:
        if timer is not None and timer is not asyncio.current_task():  # what a timer does may stop timers
            await self.cancel_task(timer)

    async def _stop(self) -> None:
        await self._wait_no_more()
        await self._cancel(self._interrupting)


class PipelineEnd(FrameProcessor):
    """Stands behind the assistant aggregator and tells the gate when an interruption got so far."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything on."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, InterruptionFrame) and direction is FrameDirection.DOWNSTREAM:
            await self.push_frame(InterruptedFrame(), FrameDirection.UPSTREAM)
