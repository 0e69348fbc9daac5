"""Which words of the character were heard: the text of its clauses, spread over their sound."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipecat.utils.text.base_text_aggregator import TextType

from animacy.core.pipeline.frames import HeardWordFrame

SECONDS_PER_LETTER = 0.09
"""A guess at a clause's length until its sound is complete; slow, for a caption rather comes late than early."""


@dataclass(slots=True, eq=False)
class Clause:
    """Some words, and the stretch of their turn's sound that says them; positions and lengths in samples.

    turn, start: where its sound begins. length: a guess until all of it came. letters: of all its words.
    """

    turn: int = 0
    start: int | None = None
    length: int = 0
    letters: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """A word of a clause; `middle` counts the clause's letters before its middle."""

    clause: Clause
    text: str
    middle: float
    context_id: str | None
    segment: int | None

    @property
    def turn(self) -> int:
        """The turn that says it."""
        return self.clause.turn

    @property
    def at(self) -> int:
        """The sample of the turn at which half of it has been said."""
        return (self.clause.start or 0) + round(self.clause.length * self.middle / self.clause.letters)

    def frame(self, *, add_to_context: bool) -> HeardWordFrame:
        """It, for the context, the captions and the client."""
        frame = HeardWordFrame(self.text, TextType.WORD, self.context_id, segment_id=self.segment)
        frame.append_to_context = add_to_context
        frame.will_be_spoken = True
        return frame


@dataclass(slots=True, eq=False)
class Utterance:
    """The words of one TTS context, told in the order of its frames: a text, its sound, and that it was spoken.

    A text without any sound so far is joined by the next, for some voices send their sound later. Without any sound at
    the end, its words are never heard. A voice that times its words announces nothing.
    """

    context_id: str | None
    rate: int
    _turn: int = 0
    _open: Clause | None = None
    _announced: list[Word] = field(default_factory=list)
    _segments: set[int] = field(default_factory=set)
    _since: int = 0
    _until: int = 0
    _began: int = 0

    def announce(self, text: str, segment: int | None = None) -> None:
        """A text is about to be spoken."""
        if self._open is None or self._open.start is not None:
            self.close()
            self._open = Clause()
        if segment is not None:
            self._segments.add(segment)
        self._announced += self._words(self._open, text, segment)

    def sound(self, turn: int, start: int, samples: int, foretold: int) -> list[Word]:
        """Sound comes: its first sample, how many, how far its visemes reach. Returns the words of a text it begins."""
        self._began = self._began if self._turn else start
        self._turn, self._until = turn, start + samples
        clause = self._open
        if clause is None:
            return []
        if clause.start is None:
            clause.turn, clause.start = turn, start
            guess = round(SECONDS_PER_LETTER * clause.letters * self.rate)
            clause.length = foretold if foretold > 1.2 * samples else guess
        clause.length = max(clause.length, self._until - clause.start)
        words, self._announced = self._announced, []
        return words

    def spoken(self, text: str, segment: int | None = None) -> list[Word]:
        """The voice says what its sound up to now said. Returns the words that were not announced."""
        if self._open is not None and self._open.start is not None:
            self.close()
        if segment is not None and segment in self._segments:
            return []
        clause = Clause(self._turn, self._since, self._until - self._since)
        self._since = self._until
        return self._words(clause, text, segment) if self._turn else []

    def timed(self, text: str, seconds: float, segment: int | None = None) -> list[Word]:
        """The voice says when it says these words: seconds after the first sound of its context."""
        return self._words(Clause(self._turn, self._began + round(seconds * self.rate)), text, segment)

    def close(self) -> None:
        """The sound of the open text is complete."""
        clause, self._open = self._open, None
        if clause is not None and clause.start is not None:
            clause.length = max(0, self._until - clause.start)
        self._announced.clear()
        self._since = self._until

    def _words(self, clause: Clause, text: str, segment: int | None) -> list[Word]:
        words = []
        for word in text.split():
            words.append(Word(clause, word, clause.letters + len(word) / 2, self.context_id, segment))
            clause.letters += len(word) + 1
        return words
