"""How an answer begins: with one of the character's own openings, said before the model has written it out.

An opening that suits any question needs no choice: the next in turn is said at once, and the model goes on from there.
Where nothing was asked, the model chooses among them as its first words.
"""

from __future__ import annotations

from collections.abc import Sequence

from animacy.core.llm.questions import is_question


class Openings:
    """A character's openings, in turn.

    Parameters:
        openings: what it may begin with.
        language: BCP 47 tag of what its visitors say.
    """

    def __init__(self, openings: Sequence[str], language: str) -> None:
        self._all = tuple(openings)
        self._language = language
        self._next = 0
        self._last = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """Those that the model may choose from: not the one that was just heard, unless there is no other."""
        return tuple(one for one in self._all if one != self._last) or self._all

    def answering(self, text: str) -> str | None:
        """How the answer to `text` begins, whatever else it says; None when that is the model's to choose."""
        return self._all[self._next] if self._all and is_question(text, self._language) else None

    def said(self, opening: str) -> None:
        """It was heard: the one after it comes next."""
        if opening in self._all:
            self._last = opening
            self._next = (self._all.index(opening) + 1) % len(self._all)


class Opening:
    """Watches an answer begin. As soon as only one opening is left that it can be, that one may be said whole.

    Parameters:
        openings: what the model may begin with.
        said: the opening that was said before the model began; then it only goes on.
    """

    def __init__(self, openings: Sequence[str], said: str | None = None) -> None:
        self._left = [said] if said else list(openings)
        self._written = said or ""
        self.said = said or ""
        """The opening that was said so far, empty if none was."""

    def feed(self, text: str) -> str:
        """Take more of the answer; return what may be said of it now, which may be ahead of what was written."""
        if not self._left:
            return text
        self._written += text
        written = self._written.lstrip()
        self._left = [one for one in self._left if one.startswith(written) or written.startswith(one)]
        if len(self._left) != 1:
            # None: a model that does not keep to the grammar is heard as it is.
            return self._release() if not self._left else ""
        opening = self._left[0]
        if not self.said:
            self.said = opening
            # The space tells the voice that the sentence is over.
            return opening + " " + self._beyond(written, opening)
        return self._beyond(written, opening)

    def finish(self) -> str:
        """The answer is over: what was not said yet."""
        return "" if self.said or not self._left else self._release()

    def _beyond(self, written: str, opening: str) -> str:
        rest = written[len(opening) :].lstrip()
        if rest:
            self._left = []
        return rest

    def _release(self) -> str:
        self._left = []
        return self._written
