"""Sound and the times of its phonemes, which come apart, joined again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from animacy.core.pipeline.voice import Speech
from animacy.core.video.contract import Viseme
from animacy.core.video.visemes import moved, visemes_of

BYTES_PER_SAMPLE = 2


class Mouth:
    """Holds back the newest piece of sound until its phonemes have come, or the next piece has.

    So it costs one piece of delay at the most, and a server may send phonemes shortly before or after their sound. What
    comes later still is left out: the mouth was read from the sound by then.

    Parameters:
        rate: samples a second.
        waits: whether phonemes will come.
    """

    def __init__(self, rate: int, *, waits: bool) -> None:
        self._rate, self._waits = rate, waits
        self._pieces: deque[bytes] = deque()
        self._time = 0.0  # of the first piece's first sample
        self._known = 0.0  # phonemes are known until then
        self._new: list[Viseme] = []

    def sound(self, pcm: bytes) -> Iterator[Speech]:
        """Sound comes. Yields what can leave."""
        self._pieces.append(pcm)
        while self._pieces and (len(self._pieces) > 1 or not self._waits or self._is_known(self._pieces[0])):
            yield self._leave()

    def phonemes(self, phonemes: Sequence[tuple[str, float, float]]) -> Iterator[Speech]:
        """Phonemes come, as (IPA, start, end) in seconds from the first sample of all. Yields what can leave."""
        found = visemes_of(phonemes)
        self._new += found
        self._known = max([self._known, *(end for _, _, end in phonemes)])
        while self._pieces and self._is_known(self._pieces[0]):
            yield self._leave()

    def rest(self) -> Iterator[Speech]:
        """Nothing more comes."""
        while self._pieces:
            yield self._leave()

    def _is_known(self, pcm: bytes) -> bool:
        return self._known >= self._time + self._seconds(pcm)

    def _leave(self) -> Speech:
        pcm = self._pieces.popleft()
        begin, self._time = self._time, self._time + self._seconds(pcm)
        new, self._new = self._new, []
        visemes = moved(new, -begin)
        return Speech(pcm, visemes if visemes or self._known > begin else None)

    def _seconds(self, pcm: bytes) -> float:
        return len(pcm) / BYTES_PER_SAMPLE / self._rate
