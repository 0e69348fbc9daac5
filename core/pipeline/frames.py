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
class CharacterChunkFrame(SystemFrame):
    """Frames of the character with the audio of their slots, leaving at their time.

    A system frame: an interruption empties data queues, and must not tear holes into the picture.
    """

    chunk: RenderedChunk | None = None
