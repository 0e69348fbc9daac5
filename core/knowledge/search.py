"""Finding the passages that answer a question: by meaning and by word, with a score that says whether they do."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from animacy.core.knowledge.bm25 import WordIndex
from animacy.core.knowledge.contract import Embedder, Hit, KnowledgeStore, Passage, Vectors
from animacy.core.knowledge.words import questions, terms

_SENTENCE = re.compile(r"(?<=[.!?;:。！？])\s+|\n|(?<=[。！？])")

CANDIDATES = 20
"""Passages that each of the two searches proposes."""

LOOKED_INTO = 10
"""Candidates whose sentences are compared with the question, those that look best."""
FRESH = 3
"""Passages whose sentences are embedded for one question; of those beyond, only sentences that are known count."""
REMEMBERED = 2000
"""Passages whose sentences' vectors are kept."""

COARSE = (5.6, 2.6)
"""Weights of meaning and words for the choice of what is looked into."""
MEANING, SENTENCE, WORDS, OFFSET = 4.53, 3.63, 2.11, -5.19
"""The score's logistic weights, fitted by `python -m benchmarks.knowledge --fit`."""

PARTS = 3
"""Questions asked in one breath that are looked for one by one."""
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


class Sentences:
    """The vectors of passages' sentences, made when they are needed and kept for the next question. Blocks.

    A passage is about several things and its vector is their mean; the sentence that answers stands out.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: OrderedDict[str, Vectors] = OrderedDict()

    def prepare(self, passages: Sequence[Passage], most: int = FRESH) -> None:
        """Make those that are not there, of at most so many passages, the first ones."""
        missing = [passage for passage in passages if passage.id not in self._kept][:most]
        texts = [_under_heading(passage) for passage in missing]
        if missing:
            vectors = self._embedder.embed([text for some in texts for text in some])
            at = 0
            for passage, some in zip(missing, texts, strict=True):
                self._kept[passage.id] = vectors[at : at + len(some)]
                at += len(some)
        for passage in passages:
            if passage.id in self._kept:
                self._kept.move_to_end(passage.id)
        while len(self._kept) > max(REMEMBERED, len(passages)):
            self._kept.popitem(last=False)

    def closeness(self, passage: Passage, vector: Vectors) -> tuple[float, ...]:
        """The cosine of each sentence with `vector`; nothing when the passage was not prepared."""
        vectors = self._kept.get(passage.id)
        return () if vectors is None else tuple(float(cosine) for cosine in vectors @ vector)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that may answer, compared with a question.

    `meaning` is the cosine of both, `closeness` that of each sentence, `coverage` the share of the question's words.
    """

    passage: Passage
    meaning: float
    closeness: tuple[float, ...]
    coverage: float

    @property
    def features(self) -> tuple[float, float, float]:
        """Meaning, nearest sentence and words: what the score is made of."""
        return self.meaning, max(self.closeness, default=self.meaning), self.coverage

    @property
    def hit(self) -> Hit:
        """With its score."""
        weighted = zip((MEANING, SENTENCE, WORDS), self.features, strict=True)
        score = 1 / (1 + math.exp(-(sum(weight * feature for weight, feature in weighted) + OFFSET)))
        texts = sentences(self.passage)
        closeness = self.closeness or (self.meaning,) * len(texts)
        return Hit(self.passage, score, tuple(zip(texts, closeness, strict=True)))


class Search:
    """One way to ask a store. Blocks; the store and the embedder must be free.

    Parameters:
        store, embedder: open, and loaded.
        words: the store's passages.
        sentences: of the same embedder, to be used again for the next search.
    """

    def __init__(self, store: KnowledgeStore, embedder: Embedder, words: WordIndex, sentences: Sentences) -> None:
        self._store, self._embedder, self._words, self._sentences = store, embedder, words, sentences

    def find(self, question: str, context: Sequence[str] = (), count: int = LOOKED_INTO) -> list[Hit]:
        """The passages that fit best, best first, whatever their score.

        `context` is what was said just before, oldest first; it only counts for a question that needs it.
        """
        question = question.strip()
        if not question:
            return []
        hits = self._in_context(question, context, count)
        parts = questions(question, self._words.language)[:PARTS]
        for number, part in enumerate(parts if len(parts) > 1 else ()):
            hits += self._in_context(part, (*context, *parts[:number]), count)
        return _merged(hits, count)

    def candidates(self, text: str, question: str, count: int) -> list[Candidate]:
        """The passages that look best; `text` is what to look for, `question` the part of it that must be covered."""
        vector = self._embedder.embed([text])[0]
        query = terms(text, self._words.language)
        # What was said before helps to find; that a passage answers, the question's own words must say.
        asked = terms(question, self._words.language) or query
        found = {passage.id: (passage, cosine) for passage, cosine in self._store.nearest(vector, CANDIDATES)}
        by_word = [passage for passage in self._words.best(query, CANDIDATES) if passage.id not in found]
        vectors = self._store.vectors([passage.id for passage in by_word])
        for passage in by_word:
            if passage.id in vectors:
                found[passage.id] = passage, float(np.dot(vectors[passage.id], vector))
        coarse = [(passage, cosine, self._coverage(passage, asked)) for passage, cosine in found.values()]
        coarse.sort(key=lambda item: -(COARSE[0] * item[1] + COARSE[1] * item[2]))
        del coarse[max(count, LOOKED_INTO) :]
        self._sentences.prepare([passage for passage, _, _ in coarse])
        closeness = self._sentences.closeness
        return [Candidate(passage, cosine, closeness(passage, vector), share) for passage, cosine, share in coarse]

    def _in_context(self, question: str, context: Sequence[str], count: int) -> list[Hit]:
        hits = self._ask(question, question, count)
        if context and needs_context(question, self._words.language):
            hits += self._ask(" ".join((*context[-2:], question)), question, count)
        return hits

    def _ask(self, text: str, question: str, count: int) -> list[Hit]:
        hits = [candidate.hit for candidate in self.candidates(text, question, count)]
        return sorted(hits, key=lambda hit: -hit.score)[:count]

    def _coverage(self, passage: Passage, query: Iterable[str]) -> float:
        """The share of the query's words that the passage holds, rare ones counting more; 0 of no words."""
        query = set(query)
        weights = {term: self._words.rarity(term) for term in query}
        there = query.intersection(terms(passage.whole, self._words.language))
        return sum(weights[term] for term in there) / total if (total := sum(weights.values())) else 0.0


def sentences(passage: Passage) -> list[str]:
    """The passage's sentences, parts of sentences and rows: at least one."""
    parts = [part.strip() for part in _SENTENCE.split(passage.text)]
    return [part for part in parts if part.strip("|-: ")] or [passage.text]


def _under_heading(passage: Passage) -> list[str]:
    """Each sentence behind the heading that it stands under: alone it may not say what it is about."""
    heading = f"{passage.headings[-1]}: " if passage.headings else ""
    return [heading + sentence for sentence in sentences(passage)]


def needs_context(question: str, language: str) -> bool:
    """Whether a question is so short and points back so that it is understood only after what was said before."""
    words = [word.strip("?!.,;:¿¡") for word in question.lower().replace("’", "'").split()]
    back = _BACK.get(language.split("-")[0].lower())
    if back is None:
        return len(words) <= FOLLOW_UP
    return len(set(terms(question, language))) <= FOLLOW_UP and not back.isdisjoint(words)


def _merged(hits: Iterable[Hit], count: int) -> list[Hit]:
    """Each passage once: with its best score, and its sentences as close as they are to any of the questions."""
    best: dict[str, Hit] = {}
    for hit in hits:
        known = best.get(hit.passage.id)
        if known is not None:
            pairs = zip(known.sentences, hit.sentences, strict=True)
            closest = tuple((text, max(before, now)) for (text, before), (_, now) in pairs)
            hit = Hit(hit.passage, max(known.score, hit.score), closest)
        best[hit.passage.id] = hit
    return sorted(best.values(), key=lambda hit: -hit.score)[:count]
