"""The work of an llm: the answer to a conversation."""

from __future__ import annotations

import time

from pipecat.frames.frames import (
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)

from animacy.core.llm.contract import NO_GROUNDS
from animacy.core.pipeline.fallback.work import NOTHING_LEFT, HandOver
from animacy.core.pipeline.frames import GroundedContextFrame, ResumedContextFrame


class Thinking:
    """Keeps the conversation that is being answered, and what was said of the answer."""

    def __init__(self) -> None:
        self._asked: LLMContextFrame | None = None
        self._said = ""
        self._open = False
        self._due: float | None = None
        self._calls: set[str] = set()

    def given(self, frame: Frame) -> None:
        """A conversation is to be answered, or nobody wants the answer any more."""
        match frame:
            case ResumedContextFrame():
                pass
            case LLMContextFrame():
                self._asked, self._said, self._due = frame, "", time.monotonic()
            case InterruptionFrame():
                self._done()
                self._open = False

    def came(self, frame: Frame) -> bool:
        """A piece of the answer. It is begun and ended once, however many had a part in it."""
        match frame:
            case LLMFullResponseStartFrame():
                again, self._open = self._open, True
                return not again
            case LLMTextFrame():
                self._said += frame.text
                self._due = time.monotonic() if self._asked is not None else None
            case FunctionCallsStartedFrame():
                self._done()  # a call must not be made twice
            case FunctionCallInProgressFrame():
                self._calls.add(frame.tool_call_id)
            case FunctionCallResultFrame() | FunctionCallCancelFrame():
                self._calls.discard(frame.tool_call_id)
            case LLMFullResponseEndFrame():
                self._done()
                self._open = False
        return True

    def waits_since(self) -> float | None:
        """Since the last piece of the answer."""
        return self._due

    def idle(self) -> bool:
        """Whether nothing is being answered, and no tool at work whose result will be."""
        return self._asked is None and not self._calls

    def hand_over(self) -> HandOver:
        """The conversation, with what was said already."""
        asked = self._asked
        if asked is None:
            closing = (LLMFullResponseEndFrame(),) if self._open else ()
            self._open = False
            return NOTHING_LEFT._replace(closing=closing)
        self._due = time.monotonic()
        grounds = asked.grounds if isinstance(asked, GroundedContextFrame) else NO_GROUNDS
        redo = ResumedContextFrame(asked.context, grounds=grounds, said=self._said) if self._said else asked
        return HandOver((), (redo,), frozenset(), owing=True)

    def _done(self) -> None:
        self._asked = self._due = None
