"""Cuts the language model's text into what a voice should say at once.

The first clause of an answer leaves as early as it can be spoken naturally, for the user waits for it; after it whole
sentences do, for they sound best. Cuts lie behind punctuation, never inside a number, a time, an address or an
abbreviation, and the punctuation stays with the words before it, so that a voice knows not to drop its pitch at a
comma.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

from pipecat.utils.text.base_text_aggregator import Aggregation, BaseTextAggregator, TextType

MIN_WORDS = 3
"""Words a first clause has at least; fewer would be heard as a stammer."""

BREAK_WORDS = 5
"""Words after which a first clause may also end before a conjunction, without punctuation."""

MAX_CHARS = 320
"""Longest piece; text without any punctuation is cut at a space, or right there."""

_ABBREVIATIONS = frozenset(
    [
        "dr",
        "mr",
        "mrs",
        "ms",
        "prof",
        "st",
        "jr",
        "sr",
        "mt",
        "e.g",
        "i.e",
        "etc",
        "vs",
        "approx",
        "no",
        "fig",
        "vol",
        "ca",
        "c",
        "cf",
        "dept",
        "est",
        "gen",
        "gov",
        "hon",
        "lt",
        "col",
        "sgt",
        "capt",
        "rev",
        "inc",
        "ltd",
        "co",
        "corp",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "a.m",
        "p.m",
        "u.s",
        "u.k",
    ]
)
_NEEDS_MORE = _ABBREVIATIONS - {"etc", "a.m", "p.m", "u.s", "u.k", "inc", "ltd", "co", "corp"}
"""Abbreviations that never end a sentence, because something always follows them."""

_CONJUNCTIONS = frozenset(
    [
        "and",
        "but",
        "because",
        "which",
        "that",
        "who",
        "whose",
        "where",
        "when",
        "while",
        "although",
        "though",
        "so",
        "or",
        "if",
        "unless",
        "until",
        "since",
        "before",
        "after",
        "with",
        "as",
        "than",
        "whereas",
    ]
)

_PREPOSITIONS = frozenset(
    [
        *(
            "about",
            "across",
            "among",
            "around",
            "at",
            "behind",
            "below",
            "between",
            "by",
            "during",
            "for",
            "from",
            "in",
        ),
        *("into", "near", "on", "over", "through", "to", "under"),
    ]
)
"""Where the clause after an opening may end as well: the opening is soon over, and a silence inside the answer's first
words is shorter than the one before them would be."""

# A question or exclamation mark ends a sentence whatever follows; only after a dot must more be seen.
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]»]*(?=\s)|[!?](?=$)|[。！？]|\n+")
_CLAUSE_END = re.compile(r"(?<=\S)[,;:][\"'”’)\]]*(?=\s+\S)|(?<=[^\W\d])[,;](?=$)|—\s?(?=\S)|\s[–-](?=\s+\S)")
_WORD_START = re.compile(r"(?<=\s)\S+(?=\s)")
_WORD = re.compile(r"\w\S*")


class ClauseSplitter:
    """Takes text in any portions and gives it back in clauses. Joined together they are the text, letter by letter."""

    def __init__(self, *, early_first_clause: bool = True) -> None:
        self._early = early_first_clause
        self._first = early_first_clause
        self._after_opening = False
        self._text = ""

    @property
    def pending(self) -> str:
        """What was taken and not given back yet."""
        return self._text

    def push(self, text: str) -> Iterator[str]:
        """Add text and yield every clause that is certain to be complete."""
        self._text += text
        while cut := self._cut():
            clause, self._text = self._text[:cut], self._text[cut:]
            # A sentence of a few words, such as an opening, is soon over: what follows is waited for as much.
            is_opening = clause.rstrip().endswith((".", "!", "?", "…")) and len(_WORD.findall(clause)) <= BREAK_WORDS
            if clause.strip():
                self._first = self._first and is_opening
                self._after_opening = self._first
            yield clause

    def flush(self) -> str:
        """The rest; afterwards a new answer may begin."""
        rest, self._text, self._first, self._after_opening = self._text, "", self._early, False
        return rest

    def _cut(self) -> int:
        """Where the text can be cut, 0 when it must wait for more."""
        cuts = [self._sentence_cut()]
        if self._first:
            cuts += [self._clause_cut(), self._conjunction_cut()]
        found = min((cut for cut in cuts if cut), default=0)
        if (found or len(self._text)) > MAX_CHARS:
            return self._forced_cut()
        return found

    def _sentence_cut(self) -> int:
        for match in _SENTENCE_END.finditer(self._text):
            before = self._text[: match.start()]
            if not _WORD.search(before):
                continue  # punctuation alone goes with the words after it
            if match.end() == len(self._text) and not _is_plain(before):
                continue
            if match[0].startswith("\n") or not _is_abbreviation(before, match[0], self._text[match.end() :]):
                return match.end()
        return 0

    def _clause_cut(self) -> int:
        for match in _CLAUSE_END.finditer(self._text):
            before, after = self._text[: match.start()], self._text[match.end() :].lstrip()
            between_digits = before[-1:].isdigit() and after[:1].isdigit()
            if between_digits or before.endswith(".") or len(_WORD.findall(before)) < MIN_WORDS:
                continue
            if match.end() == len(self._text) and not _is_plain(before):
                continue
            return match.end()
        return 0

    def _conjunction_cut(self) -> int:
        breaks, least = _CONJUNCTIONS, BREAK_WORDS
        if self._after_opening:
            breaks, least = _CONJUNCTIONS | _PREPOSITIONS, BREAK_WORDS - 1
        for match in _WORD_START.finditer(self._text):
            if match[0].lower() in breaks and len(_WORD.findall(self._text[: match.start()])) >= least:
                return match.start()
        return 0

    def _forced_cut(self) -> int:
        head = self._text[:MAX_CHARS]
        ends = [match.end() for match in _CLAUSE_END.finditer(head)]
        space = head.rfind(" ") + 1
        return next((cut for cut in (max(ends, default=0), space) if cut > MAX_CHARS // 4), MAX_CHARS)


def _is_plain(before: str) -> bool:
    """Whether a text ends in a word of letters alone, so that a mark behind it is no part of an address or a number."""
    return before.split()[-1].strip("\"'“”‘’()[]").replace("'", "").replace("’", "").isalpha()


def _is_abbreviation(before: str, mark: str, after: str) -> bool:
    """Whether the single dot `mark` belongs to the word it follows rather than ending a sentence."""
    if mark != ".":
        return False
    word = before.split()[-1].lstrip("(\"'“‘[").lower()
    if word in _NEEDS_MORE or (len(word) == 1 and word.isalpha() and word != "i"):
        return True
    if word.isdigit() and before.strip() == word:  # "1. First" of a list
        return True
    following = after.lstrip()[:1]
    return word in _ABBREVIATIONS and (not following or not following.isupper())


def split_sentences(text: str) -> list[str]:
    """A whole text as sentences of at most MAX_CHARS; joined together they are the text."""
    splitter = ClauseSplitter(early_first_clause=False)
    return [piece for piece in (*splitter.push(text), splitter.flush()) if piece]


class ClauseAggregator(BaseTextAggregator):
    """The splitter as Pipecat's voices want it: clauses without the spaces around them."""

    def __init__(self, *, language: str | None = None) -> None:
        super().__init__(aggregation_type=TextType.SENTENCE, language=language)
        self._splitter = ClauseSplitter()

    @property
    def text(self) -> Aggregation:
        """What waits for its end."""
        return Aggregation(self._splitter.pending.strip(), TextType.SENTENCE)

    async def aggregate(self, text: str) -> AsyncIterator[Aggregation]:
        """Take text, yield the clauses that it completes."""
        for clause in self._splitter.push(text):
            if clause.strip():
                yield Aggregation(clause.strip(), TextType.SENTENCE)

    async def flush(self) -> Aggregation | None:
        """The rest, at the end of an answer."""
        rest = self._splitter.flush().strip()
        return Aggregation(rest, TextType.SENTENCE) if rest else None

    async def handle_interruption(self) -> None:
        """Forget what was not said; the next text is a new answer."""
        self._splitter.flush()

    async def reset(self) -> None:
        """Forget everything."""
        self._splitter.flush()
