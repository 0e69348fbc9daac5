"""The work of an stt: the sound of a turn that was not understood yet."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)

from animacy.core.pipeline.fallback.work import NOTHING_LEFT, HandOver
from animacy.core.pipeline.frames import ForeseenTranscriptFrame

KEPT_SECONDS = 30.0
"""Of sound. Who speaks for longer without a pause loses the beginning when the stt fails."""

BEFORE_SECONDS = 1.0
"""Sound before the VAD noticed a voice, and before a final text came: it may hold the begin of the next word."""


class Hearing:
    """Keeps the sound since the last final text, with what the VAD said of it.

    After a pause either words must come, or a ForeseenTranscriptFrame that says there were none.
    """

    def __init__(self) -> None:
        self._kept: deque[Frame] = deque()
        self._seconds = 0.0
        self._voice = False
        self._due: float | None = None

    def given(self, frame: Frame) -> None:
        """Keep sound and the begin and end of voices."""
        match frame:
            case InputAudioRawFrame():
                self._kept.append(frame)
                self._seconds += _seconds(frame)
                self._trim(KEPT_SECONDS if self._voice or self._due is not None else BEFORE_SECONDS)
            case VADUserStartedSpeakingFrame():
                self._voice = True
                self._kept.append(frame)
            case VADUserStoppedSpeakingFrame():
                self._voice = False
                self._due = time.monotonic()
                self._kept.append(frame)
            case UserStoppedSpeakingFrame():
                self._understood()

    def came(self, frame: Frame) -> bool:
        """Words came, or the news that there are none."""
        match frame:
            case TranscriptionFrame() | ForeseenTranscriptFrame(text=""):
                self._understood()
            case InterimTranscriptionFrame() | ForeseenTranscriptFrame() if self._due is not None:
                self._due = time.monotonic()
        return True

    def waits_since(self) -> float | None:
        """Since the pause."""
        return self._due

    def idle(self) -> bool:
        """Whether nobody speaks and everything was understood."""
        return not self._voice and self._due is None

    def hand_over(self) -> HandOver:
        """The sound of the voice, if there is one."""
        if self.idle():
            return NOTHING_LEFT
        if self._due is not None:
            self._due = time.monotonic()
        again = [replace(frame) for frame in self._kept]
        return HandOver((), again, {frame.id for frame in again}, owing=True)

    def _understood(self) -> None:
        self._due = None
        voice = next((f for f in reversed(self._kept) if isinstance(f, VADUserStartedSpeakingFrame)), None)
        self._trim(BEFORE_SECONDS)
        if self._voice and voice is not None and voice not in self._kept:
            self._kept.append(voice)

    def _trim(self, seconds: float) -> None:
        while self._kept and self._seconds > seconds:
            gone = self._kept.popleft()
            self._seconds -= _seconds(gone) if isinstance(gone, InputAudioRawFrame) else 0.0


def _seconds(frame: InputAudioRawFrame) -> float:
    return frame.num_frames / frame.sample_rate
