"""How an answer begins: with one of the character's own openings, said before the model has written it out."""

from __future__ import annotations

import json
from collections.abc import Sequence


def grammar(openings: Sequence[str]) -> str:
    """A grammar (GBNF, llama.cpp) for answers that begin with one of the openings and go on with something else."""
    choices = " | ".join(json.dumps(opening, ensure_ascii=False) for opening in openings)
    return f'root ::= ({choices}) " " rest\nrest ::= [A-Za-z0-9"] [^\\n]*'


class Opening:
    """Watches an answer begin. As soon as only one opening is left that it can be, that one may be said whole."""

    def __init__(self, openings: Sequence[str]) -> None:
        self._left = list(openings)
        self._written = ""
        self._said = ""

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
        if not self._said:
            self._said = opening
            # The space tells the voice that the sentence is over.
            return opening + " " + self._beyond(written, opening)
        return self._beyond(written, opening)

    def finish(self) -> str:
        """The answer is over: what was not said yet."""
        return "" if self._said or not self._left else self._release()

    def _beyond(self, written: str, opening: str) -> str:
        if len(written) <= len(opening):
            return ""
        self._left = []
        return written[len(opening) :].lstrip()

    def _release(self) -> str:
        self._left = []
        return self._written
