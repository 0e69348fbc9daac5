"""What of an answer is still to come when the character falls silent in the middle of it."""

from __future__ import annotations

from pipecat.frames.frames import (
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
)

from animacy.core.pipeline.frames import ServiceSwitchedFrame

SOUND = "sound"


class Owed:
    """Follows the frames of one answer. True while more of it will be heard: a tool is at work, or its words are due.

    Background tools do not count: the conversation goes on without them.
    """

    def __init__(self) -> None:
        self._due: set[str] = set()
        self._wordless = False

    def __bool__(self) -> bool:
        return bool(self._due)

    def forget(self) -> None:
        """The answer is over, or was interrupted."""
        self._due.clear()

    def heard(self) -> None:
        """The voice began; it falls silent again when all of this stretch was said."""
        self._due.discard(SOUND)

    def note(self, frame: Frame) -> None:
        """Take a frame of the answer, in the order in which they were pushed."""
        match frame:
            case FunctionCallInProgressFrame() if frame.cancel_on_interruption:
                self._due.add(frame.tool_call_id)
            case FunctionCallCancelFrame():
                self._due.discard(frame.tool_call_id)
            case FunctionCallResultFrame() if frame.properties is None or frame.properties.is_final:
                self._due.discard(frame.tool_call_id)
                if frame.properties is None or frame.properties.run_llm is not False:
                    self._due.add(SOUND)
            case TTSSpeakFrame():
                self._due.add(SOUND)
            case ServiceSwitchedFrame() if frame.role == "tts" and frame.owing:
                self._due.add(SOUND)
            case LLMFullResponseStartFrame():
                self._wordless = True
            case LLMTextFrame():
                self._wordless = False
            case LLMFullResponseEndFrame() if self._wordless:
                self._due.discard(SOUND)
