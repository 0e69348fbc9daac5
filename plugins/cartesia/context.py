"""One answer on its way through Cartesia: what was sent of it, and how much of it came back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from animacy.plugins.cartesia.mouth import BYTES_PER_SAMPLE, Mouth

WORD = re.compile(r"\S*\w\S*(?:\s+[^\w\s]+(?!\S))*")
"""A word with the marks around it; a mark alone is none."""


@dataclass(slots=True, eq=False)
class Context:
    """An answer, which may need several of the server's contexts: one more whenever the last one broke off.

    Parameters:
        id: Pipecat's name for it.
        rate: samples a second.
        visemes: whether phonemes are asked for.
    """

    id: str
    rate: int
    visemes: bool
    waiting: list[str] = field(default_factory=list)  # texts to be sent
    finished: bool = False  # nothing will be added
    told_finished: bool = False
    failures: int = 0
    base: float = 0.0  # seconds of sound that came in the contexts before this one
    _number: int = 0
    _sent: list[str] = field(default_factory=list)
    _starts: list[float] = field(default_factory=list)  # of the words that came back
    _samples: int = 0
    mouth: Mouth = field(init=False)

    def __post_init__(self) -> None:
        self.mouth = Mouth(self.rate, waits=self.visemes)

    @property
    def name(self) -> str:
        """The server's name for it, another one after each restart: what comes late of the old one is none of ours."""
        return f"{self.id}-{self._number}"

    @property
    def complete(self) -> bool:
        """Whether all of it was sent."""
        return self.finished and not self.waiting

    def next_text(self) -> str:
        """Take the next text to send."""
        text = self.waiting.pop(0)
        self._sent.append(text)
        return text

    def hear(self, pcm: bytes) -> None:
        """Sound came."""
        self._samples += len(pcm) // BYTES_PER_SAMPLE
        self.failures = 0

    def time_words(self, words: list[str], starts: list[float]) -> list[tuple[str, float]]:
        """Words came, with their seconds in this context; returns them with those in the whole answer."""
        self._starts += starts
        return [(word, self.base + start) for word, start in zip(words, starts, strict=False)]

    def restart(self, *, broken: bool) -> None:
        """The server's context is gone: what was not said of it must be sent again in a new one.

        Unless it is `broken`, the server said what it had, and only texts of which no word came were too late for it.
        """
        seconds = self._samples / self.rate
        unsaid = self._unsaid_words(seconds) if broken else self._unsaid_texts()
        if unsaid:
            self.waiting.insert(0, unsaid)
        self.base += seconds
        self._number += 1
        self._samples = 0
        self._sent.clear()
        self._starts.clear()
        self.told_finished = False
        self.mouth = Mouth(self.rate, waits=self.visemes)

    def _unsaid_words(self, seconds: float) -> str:
        """The words whose sound did not come. Where words were not timed, nothing is said twice."""
        said = sum(start < seconds for start in self._starts)
        if seconds and not said:
            return ""
        return "".join(f"{word} " for word in WORD.findall("".join(self._sent))[said:])

    def _unsaid_texts(self) -> str:
        words, texts = 0, []
        for text in self._sent:
            if words >= len(self._starts):
                texts.append(text)
            words += len(WORD.findall(text))
        return "".join(texts) if self._starts else ""
