"""Speech waiting to be spoken: samples and visemes by turn, handed out a slot at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from animacy.core.video.contract import Viseme

MAX_SECONDS = 600.0
"""Speech that may wait. A turn is far shorter; what comes beyond is refused, so that memory stays bounded."""
WAIT_SECONDS = 0.25
"""How long less than a slot's worth waits for the rest of it, rather than tear a word."""


@dataclass(slots=True)
class _Turn:
    number: int
    ended: bool = False
    visemes: list[Viseme] = field(default_factory=list)
    parts: list[tuple[int, bool]] = field(default_factory=list)  # (first sample, whether it came with visemes)
    pushed: int = 0
    taken: int = 0
    samples: bytearray = field(default_factory=bytearray)  # from `taken` on


@dataclass(frozen=True, slots=True)
class Slot:
    """The sound of one slot, and what is known around it.

    pcm: bytes of exactly one slot. turn: None in silence. time: seconds of the turn at the slot's middle. visemes:
    those near it, None where the sound must tell. ahead: bytes of the speech after it, as far as it is known. speech:
    samples of the slot that are speech, the rest is padding.
    """

    pcm: bytes
    turn: int | None = None
    time: float = 0.0
    visemes: Sequence[Viseme] | None = None
    ahead: bytes = b""
    speech: int = 0

    @property
    def heard(self) -> NDArray[np.float32]:
        """The speech, -1 to 1, from the slot's first sample to a little after its end."""
        return np.asarray(np.frombuffer(self.pcm[: 2 * self.speech] + self.ahead, "<i2") / 32768, np.float32)


class SpeechQueue:
    """One producer and one consumer, both on the event loop.

    Parameters:
        sample_rate: of the speech, in Hz.
        slot: samples handed out at a time.
        ahead: samples after a slot that are shown along with it.
        reach: seconds around a slot's middle within which its visemes lie.
    """

    def __init__(self, sample_rate: int, slot: int, ahead: int = 0, reach: float = 0.0) -> None:
        self._rate, self._slot, self._ahead, self._reach = sample_rate, slot, ahead, reach
        self._patience = math.ceil(WAIT_SECONDS * sample_rate / slot)
        self._turns: list[_Turn] = []
        self._newest = -1
        self._dropped = -1
        self._waited = 0
        self.refused = 0

    def push(self, pcm: bytes, turn: int, visemes: Sequence[Viseme] | None) -> bool:
        """Append speech. False when it was refused: its turn was interrupted or is over, or too much is waiting."""
        current = self._turn(turn)
        if current is None or len(current.samples) + len(pcm) > MAX_SECONDS * self._rate * 2:
            self.refused += 1
            return False
        base = current.pushed / self._rate
        if visemes:
            moved = [Viseme(v.shape, v.start + base, v.end + base) for v in visemes]
            # what was foretold for this time is now known better
            current.visemes = [v for v in current.visemes if v.start < moved[0].start - 1e-4] + moved
        current.parts.append((current.pushed, visemes is not None))
        current.samples += pcm[: len(pcm) // 2 * 2]
        current.pushed += len(pcm) // 2
        return True

    def end(self, turn: int) -> None:
        """No more comes in this turn."""
        for waiting in self._turns:
            if waiting.number == turn:
                waiting.ended = True

    def drop(self, turn: int) -> None:
        """Forget everything of this turn and those before it, and refuse what still comes of them."""
        self._dropped = max(self._dropped, turn)
        self._turns = [t for t in self._turns if t.number > turn]

    def dropped(self, turn: int | None) -> bool:
        """Whether this turn was interrupted."""
        return turn is not None and turn <= self._dropped

    @property
    def speaking(self) -> bool:
        """Whether a turn is going on, even if its sound is late."""
        return bool(self._turns)

    def take(self) -> Slot:
        """The next slot."""
        while self._turns and self._turns[0].ended and not self._turns[0].samples:
            self._turns.pop(0)
        if not self._turns:
            return Slot(bytes(2 * self._slot))
        turn, size = self._turns[0], 2 * self._slot
        ready = len(turn.samples)
        # Too little for a slot: wait for the rest rather than tear a word, but not for ever.
        if ready == 0 or (ready < size and not turn.ended and self._waited < self._patience):
            self._waited += 1 if ready else 0
            return Slot(bytes(size), turn.number, turn.taken / self._rate - 1.0, ())
        self._waited = 0
        view = bytes(turn.samples[: size + 2 * self._ahead])
        del turn.samples[:size]
        pcm = view[:size]
        middle = turn.taken + self._slot / 2
        time = middle / self._rate
        first = turn.taken
        turn.taken += len(pcm) // 2
        near = [v for v in turn.visemes if v.end > time - self._reach and v.start < time + self._reach]
        turn.visemes = [v for v in turn.visemes if v.end > time - 2 * self._reach]
        timed = self._timed(turn, first) or any(v.start <= time <= v.end for v in near)
        padded = pcm + bytes(size - len(pcm))
        return Slot(padded, turn.number, time, near if timed else None, view[size:], len(pcm) // 2)

    def _turn(self, number: int) -> _Turn | None:
        """The open turn of this number, begun if it is new; None when it is over."""
        if number <= self._dropped or number < self._newest:
            return None
        if number > self._newest:
            for older in self._turns:
                older.ended = True
            self._newest = number
            self._turns.append(_Turn(number))
        last = self._turns[-1] if self._turns else None
        return last if last is not None and last.number == number and not last.ended else None

    @staticmethod
    def _timed(turn: _Turn, sample: int) -> bool:
        """Whether the push that this sample came with had visemes."""
        while len(turn.parts) > 1 and turn.parts[1][0] <= sample:
            turn.parts.pop(0)
        return bool(turn.parts) and turn.parts[0][1]
