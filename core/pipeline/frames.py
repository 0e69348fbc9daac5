"""The frames Animacy adds to Pipecat's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipecat.frames.frames import SystemFrame, TTSAudioRawFrame

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
    anybody hear of that until the turn has really ended with the same words.
    """

    text: str = ""


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
