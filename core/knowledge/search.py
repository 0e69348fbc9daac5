"""Finding the passages that answer a question: by meaning and by word, with a score that says whether they do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from animacy.core.knowledge.bm25 import WordIndex
from animacy.core.knowledge.contract import Embedder, Hit, KnowledgeStore, Passage
from animacy.core.knowledge.words import terms

CANDIDATES = 20
"""Passages that each of the two searches proposes."""

MEANING, WORDS, OFFSET = 9.0, 3.0, -6.0
"""The score's logistic weights, see `benchmarks/knowledge.py`."""

FOLLOW_UP = 2
"""A question of at most so many words that say something may need what was said before."""

_BACK = {
    language: frozenset(words.split())
    for language, words in {
        "en": "and about it its it's he she him her his hers they them their that that's those these this one ones"
        " there then also too why else",
        "de": "und er sie es ihn ihm ihr ihre sein seine das dies diese dieser da dort dann auch davon dafür damit"
        " warum",
        "fr": "et il elle ils elles le la les lui leur son sa ses ce cela ça y en aussi alors pourquoi",
        "es": "y él ella ellos ellas lo la los las le su sus eso esto ese esa allí entonces también qué",
    }.items()
}
"""Words that point back to what was said before."""


class Search:
    """One way to ask a store. Blocks; the store and the embedder must be free.

    Parameters:
        store, embedder: open, and loaded.
        words: the store's passages.
    """

    def __init__(self, store: KnowledgeStore, embedder: Embedder, words: WordIndex) -> None:
        self._store, self._embedder, self._words = store, embedder, words

    def find(self, question: str, context: Sequence[str] = (), count: int = CANDIDATES) -> list[Hit]:
        """The passages that fit best, best first, whatever their score.

        `context` is what was said just before, oldest first; it only counts for a question that needs it.
        """
        question = question.strip()
        if not question:
            return []
        hits = self._ask(question, question, count)
        if context and needs_context(question, self._words.language):
            hits = _merged((*hits, *self._ask(" ".join((*context[-2:], question)), question, count)), count)
        return hits

    def _ask(self, text: str, question: str, count: int) -> list[Hit]:
        vector = self._embedder.embed([text])[0]
        query = terms(text, self._words.language)
        found = {passage.id: (passage, cosine) for passage, cosine in self._store.nearest(vector, CANDIDATES)}
        by_word = [passage for passage in self._words.best(query, CANDIDATES) if passage.id not in found]
        vectors = self._store.vectors([passage.id for passage in by_word])
        for passage in by_word:
            if passage.id in vectors:
                found[passage.id] = passage, float(np.dot(vectors[passage.id], vector))
        # What was said before helps to find; that a passage answers, the question's own words must say.
        asked = terms(question, self._words.language) or query
        hits = [Hit(passage, self._score(passage, cosine, asked)) for passage, cosine in found.values()]
        return sorted(hits, key=lambda hit: -hit.score)[:count]

    def _score(self, passage: Passage, cosine: float, query: Iterable[str]) -> float:
        share = self.coverage(passage, query)
        return 1 / (1 + math.exp(-(MEANING * cosine + WORDS * share + OFFSET)))

    def coverage(self, passage: Passage, query: Iterable[str]) -> float:
        """The share of the query's words that the passage holds, rare ones counting more; 0 of no words."""
        query = set(query)
        weights = {term: self._words.rarity(term) for term in query}
        there = query.intersection(terms(passage.whole, self._words.language))
        return sum(weights[term] for term in there) / total if (total := sum(weights.values())) else 0.0


def needs_context(question: str, language: str) -> bool:
    """Whether a question is so short and points back so that it is understood only after what was said before."""
    words = [word.strip("?!.,;:¿¡") for word in question.lower().replace("’", "'").split()]
    back = _BACK.get(language.split("-")[0].lower())
    if back is None:
        return len(words) <= FOLLOW_UP
    return len(set(terms(question, language))) <= FOLLOW_UP and not back.isdisjoint(words)


def _merged(hits: Iterable[Hit], count: int) -> list[Hit]:
    best: dict[str, Hit] = {}
    for hit in hits:
        known = best.get(hit.passage.id)
        if known is None or hit.score > known.score:
            best[hit.passage.id] = hit
    return sorted(best.values(), key=lambda hit: -hit.score)[:count]
