"""The work of a tts: texts that were not spoken yet."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from pipecat.frames.frames import (
    AggregatedTextFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)

from animacy.core.pipeline.fallback.work import HandOver

NANOSECONDS = 1e9


@dataclass(slots=True, eq=False)
class _Text:
    """A text to be spoken, an answer or a line.

    `ends`: the frames around an answer. `seen`: those of them that went on. `whole`: no more of it will come.
    """

    asked: TTSSpeakFrame | None = None
    text: str = ""
    whole: bool = False
    ends: list[int] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    announced: int = 0  # letters
    words: list[tuple[float | None, int]] = field(default_factory=list)  # seconds, letters
    sound: float = 0.0
    began: int | None = None  # time of its first word, on the pipeline's clock

    @property
    def spoken(self) -> int:
        """Letters that were heard, or are about to be: a word may be timed before its sound has come."""
        return sum(letters for at, letters in self.words if at is None or at < self.sound)

    def rest(self) -> str:
        """What is left to be spoken."""
        left = self.spoken
        for index, letter in enumerate(self.text):
            if left <= 0 and letter.isalnum():
                return self.text[index:]
            left -= letter.isalnum()
        return ""


class Speaking:
    """Keeps the texts of answers and lines, and what was spoken of them; they are spoken in their order."""

    def __init__(self) -> None:
        self._texts: deque[_Text] = deque()
        self._writing: _Text | None = None
        self._open: str | None = None
        self._due: float | None = None

    def given(self, frame: Frame) -> None:
        """A text to be spoken, or nobody wants to hear any more of it."""
        match frame:
            case LLMFullResponseStartFrame():
                self._writing = _Text(ends=[frame.id])
                self._texts.append(self._writing)
            case LLMTextFrame():
                if self._writing is not None:
                    self._writing.text += frame.text
            case LLMFullResponseEndFrame():
                if self._writing is not None:
                    self._writing.whole = True
                    self._writing.ends.append(frame.id)
                    if not _letters(self._writing.text):
                        self._texts.remove(self._writing)
                self._writing = None
            case TTSSpeakFrame():
                if _letters(frame.text):
                    self._texts.append(_Text(frame, frame.text, whole=True))
            case InterruptionFrame():
                self._texts.clear()
                self._writing = self._open = self._due = None

    def came(self, frame: Frame) -> bool:
        """A piece of speech."""
        head = self._texts[0] if self._texts else None
        match frame:
            case LLMFullResponseStartFrame() | LLMFullResponseEndFrame():
                for text in self._texts:
                    text.seen.update({frame.id}.intersection(text.ends))
            case TTSStartedFrame():
                self._open = frame.context_id
            case TTSStoppedFrame():
                self._stopped(frame)
            case TTSTextFrame() if head is not None:
                self._spoke(head, frame)
            case AggregatedTextFrame() if head is not None:
                head.announced += _letters(frame.text)
                self._due = time.monotonic()
            case TTSAudioRawFrame() if head is not None:
                head.sound += frame.num_frames / frame.sample_rate
                self._due = time.monotonic()
        if head is not None and head.announced <= sum(letters for _, letters in head.words):
            self._due = None  # the voice waits for more text
        return True

    def waits_since(self) -> float | None:
        """Since the last sign of life, while a text that the voice has taken is not spoken."""
        return self._due

    def idle(self) -> bool:
        """Whether all texts were spoken."""
        return not self._texts

    def hand_over(self) -> HandOver:
        """The rest of the texts."""
        closing = [TTSStoppedFrame(context_id=self._open)] if self._open is not None else []
        self._open = self._due = None
        redo: list[Frame] = []
        seen: set[int] = set()
        texts, self._texts = self._texts, deque()
        for text in texts:
            rest = text.rest()
            if not rest and text.whole and len(text.seen) == len(text.ends):
                continue
            frames = _frames(text, rest)
            again = _Text(text.asked, rest, text.whole)
            if text.asked is None:
                ends = [frame.id for frame in frames if not isinstance(frame, LLMTextFrame)]
                again.ends = ends
                again.seen = {new for new, old in zip(ends, text.ends, strict=True) if old in text.seen}
                seen |= again.seen
            self._texts.append(again)
            if text is self._writing:
                self._writing = again
            redo += frames
        return HandOver(closing, redo, seen, owing=bool(redo))

    def _spoke(self, text: _Text, frame: TTSTextFrame) -> None:
        at: float | None = None
        if frame.pts is not None:
            text.began = frame.pts if text.began is None else text.began
            at = (frame.pts - text.began) / NANOSECONDS
        else:
            self._due = time.monotonic()
        text.words.append((at, _letters(frame.text)))

    def _stopped(self, frame: TTSStoppedFrame) -> None:
        if self._open is not None and frame.context_id == self._open:
            self._open = self._due = None
            if self._texts and self._texts[0].whole:
                self._texts.popleft()


def _frames(text: _Text, rest: str) -> list[Frame]:
    if text.asked is not None:
        return [TTSSpeakFrame(rest, append_to_context=text.asked.append_to_context)]
    ends = [LLMFullResponseEndFrame()] if text.whole else []
    return [LLMFullResponseStartFrame(), LLMTextFrame(rest), *ends]


def _letters(text: str) -> int:
    return sum(letter.isalnum() for letter in text)
