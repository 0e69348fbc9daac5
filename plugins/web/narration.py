"""Tells the client in words what the character does: its state, its captions, what was cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)

from animacy.core.pipeline.frames import FlushFrame
from animacy.core.video.contract import CharacterState, RenderedChunk, VideoFormat
from animacy.plugins.web.encoder import MICROSECONDS
from animacy.plugins.web.protocol import message

_STATES: dict[type[Frame], CharacterState] = {
    UserStartedSpeakingFrame: CharacterState.LISTENING,
    UserStoppedSpeakingFrame: CharacterState.THINKING,
    BotStartedSpeakingFrame: CharacterState.SPEAKING,
    BotStoppedSpeakingFrame: CharacterState.LISTENING,
}


class Narrator:
    """Turns frames that go by into messages for `tell`.

    Parameters:
        video: rates of the chunks.
        tell: sends a message.
        playout_delay: seconds until what leaves now is heard.
    """

    def __init__(
        self, video: VideoFormat, tell: Callable[[dict[str, Any]], object], playout_delay: Callable[[], float]
    ) -> None:
        self.state = CharacterState.LISTENING
        self._video, self._tell, self._playout_delay = video, tell, playout_delay
        self._newest = 0

    def left(self, chunk: RenderedChunk) -> None:
        """This chunk leaves now."""
        self._newest = chunk.index + len(chunk.frames)

    def notice(self, frame: Frame) -> None:
        """Tell of a frame, if it means anything to a client."""
        if isinstance(frame, FlushFrame):
            at = frame.at_index * MICROSECONDS // self._video.fps
            self._tell(message("flush", turn=frame.turn & 0xFFFF, at=at, final=frame.final))
        elif isinstance(frame, TTSTextFrame):
            # The words come when they are heard: `playout_delay` after what leaves now.
            pts = round((self._newest / self._video.fps - self._playout_delay()) * MICROSECONDS)
            self._tell(message("caption", turn=0, pts=max(0, pts), text=frame.text))
        elif (state := _STATES.get(type(frame))) is not None and state != self.state:
            self.state = state
            self._tell(message("state", state=state.value))
