"""The documents' part in an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from animacy.core.knowledge.contract import Hit
from animacy.core.knowledge.excerpt import excerpts
from animacy.core.knowledge.knowledge import Knowledge
from animacy.core.llm.contract import Grounds
from animacy.core.llm.prompt import passages_note
from animacy.core.llm.questions import is_question, is_small_talk
from animacy.core.pipeline.grounding import Finding

NOTHING = 'Your documents hold nothing about the next words. If they ask for a fact, say only: "{unknown}"'


@dataclass(frozen=True, slots=True)
class KnowledgeFinding(Finding):
    """The passages that a note is made of."""

    hits: tuple[Hit, ...] = ()


class KnowledgeSource:
    """Implements `animacy.core.pipeline.grounding.Source` with a character's documents.

    Parameters:
        knowledge: finds passages.
        characters: the most that is read of them.
        sure: score from which on passages are taken to hold the answer.
        unknown: what the character says when they do not hold the answer.
        language: to tell what is a question.
        on_sources: told of the passages that an answer rests on.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        characters: int,
        sure: float,
        unknown: str,
        language: str,
        on_sources: Callable[[Sequence[Hit]], Awaitable[None]],
    ) -> None:
        self._knowledge, self._unknown, self._language = knowledge, unknown, language
        self._characters, self._sure = characters, sure
        self._on_sources = on_sources

    async def find(self, said: str, before: Sequence[str]) -> Finding | None:
        """Passages for the model, or that there is none; nothing for what is no question and finds nothing."""
        hits = await self._knowledge.find(said, before)
        if hits:
            texts = zip(hits, excerpts(hits, self._characters), strict=True)
            note = passages_note(_under(hit, text) for hit, text in texts if text)
            # Small talk and wishes ("Tell me a joke.") may find passages too, and need none.
            asks = is_question(said, self._language) and not is_small_talk(said, self._language)
            grounds = Grounds(unknown=self._unknown, doubtful=hits[0].score < self._sure) if asks else Grounds()
            return KnowledgeFinding(note, grounds, tuple(hits))
        if not is_question(said, self._language) or is_small_talk(said, self._language):
            return None
        return KnowledgeFinding(NOTHING.format(unknown=self._unknown), Grounds(self._unknown, self._unknown))

    async def settled(self, finding: Finding | None) -> None:
        """Tell what the answer rests on."""
        await self._on_sources(finding.hits if isinstance(finding, KnowledgeFinding) else ())


def _under(hit: Hit, text: str) -> str:
    headings = " › ".join(hit.passage.headings)
    return f"{headings}: {text}" if headings else text
