"""The frames Animacy adds to Pipecat's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import InterruptionFrame, LLMContextFrame, SystemFrame, TTSAudioRawFrame, TTSTextFrame

from animacy.core.llm.contract import NO_GROUNDS, Grounds
from animacy.core.video.contract import RenderedChunk, Viseme


@dataclass
class SpeechFrame(TTSAudioRawFrame):
    """Speech with the mouth shapes that belong to it.

    `visemes` are timed from the first sample of this frame and may reach beyond its end (look-ahead). Give all that is
    known as early as it is known: each shape once, with the frame in which it starts or any before it.
    """

    visemes: Sequence[Viseme] = field(default_factory=tuple)


@dataclass
class ForeseenTranscriptFrame(SystemFrame):
    """What the user's turn will probably read, while it is not over yet.

    An stt may send it at every pause. An llm may begin to think about it, and must not let
    anybody hear of that until the turn has really ended with the same words. An empty text says that the sound which
    just ended held no words: a character that fell silent for it goes on at once. `notes` are messages that will stand
    before it: what was found out for this turn on the way, and `grounds` what is known of the answer.
    """

    text: str = ""
    notes: tuple[dict[str, Any], ...] = ()
    grounds: Grounds = NO_GROUNDS


@dataclass
class GroundedContextFrame(LLMContextFrame):
    """A conversation to be answered, with what was found out for it.

    Parameters:
        grounds: what is known of the answer.
    """

    grounds: Grounds = NO_GROUNDS


@dataclass
class ResumedContextFrame(GroundedContextFrame):
    """A conversation whose answer somebody else began and could not finish.

    Parameters:
        said: what was said of it. It is not to be said again.
    """

    said: str = ""


@dataclass
class ServiceSwitchedFrame(SystemFrame):
    """Another service of a recipe's list does the work from now on.

    Parameters:
        role: of the recipe: stt, llm or tts.
        left, entered: the names of the plugins.
        why: what the first one did wrong; empty when it is well again and takes its work back.
        owing: whether something was under way, which the new one finishes.
    """

    role: str = ""
    left: str = ""
    entered: str = ""
    why: str = ""
    owing: bool = False


@dataclass
class RelievedFrame(InterruptionFrame):
    """For one service alone: another does its work. Whatever is under way is stopped and forgotten."""


@dataclass
class HoldFrame(SystemFrame):
    """Somebody makes a sound while the character speaks: it falls silent until it is known why."""


@dataclass
class ResumeFrame(SystemFrame):
    """It was no interruption: the character goes on. Goes both ways, so that an stt forgets what it heard."""


@dataclass
class UserTurnFrame(SystemFrame):
    """The user has the word: their turn begins, and with it ends what the character still had to say."""


@dataclass
class InterruptedFrame(SystemFrame):
    """Goes upstream from the end of the pipeline: an interruption got there, and the context holds what was heard."""


@dataclass
class HeardWordFrame(TTSTextFrame, SystemFrame):
    """One word of the character, at the moment at which it is heard.

    These replace the voice's own TTSTextFrames, which say what was synthesized. System frames, because an interruption
    must not drop a word that was heard, nor overtake it on its way into the context.
    """


@dataclass
class FlushFrame(SystemFrame):
    """A turn was cut: what the client has of it and did not play yet must be dropped.

    Parameters:
        turn: the cut turn.
        at_index: index of the first frame that does not carry it any more.
        final: False while it is not clear whether the user really interrupts; what was cut may then go on under a new
            turn number. If they do, the same turn is flushed again with True.
    """

    turn: int = 0
    at_index: int = 0
    final: bool = True


@dataclass
class CharacterChunkFrame(SystemFrame):
    """Frames of the character with the audio of their slots, leaving at their time.

    A system frame: an interruption empties data queues, and must not tear holes into the picture.
    """

    chunk: RenderedChunk | None = None
