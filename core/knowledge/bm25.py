"""Search by word: BM25 (Robertson and Zaragoza 2009) over passages that do not change."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from animacy.core.knowledge.contract import Passage
from animacy.core.knowledge.words import terms

SATURATION, LENGTH = 1.2, 0.75
"""BM25's k1 and b."""


class WordIndex:
    """The words of passages. Never changes once made, so that any thread may search it.

    Parameters:
        passages: what to search.
        language: BCP 47 tag of the passages.
    """

    def __init__(self, passages: Sequence[Passage], language: str) -> None:
        self.passages = passages
        self.language = language
        counts = [Counter(terms(passage.whole, language)) for passage in passages]
        sizes = np.array([sum(count.values()) for count in counts], np.float32)
        norms = SATURATION * (1 - LENGTH + LENGTH * sizes / max(1.0, float(sizes.mean()))) if len(sizes) else sizes
        places: dict[str, list[int]] = {}
        often: dict[str, list[int]] = {}
        for place, count in enumerate(counts):
            for term, number in count.items():
                places.setdefault(term, []).append(place)
                often.setdefault(term, []).append(number)
        self._postings: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
        for term, where in places.items():
            at, times = np.array(where, np.int32), np.array(often[term], np.float32)
            weight = self.rarity(term, len(where)) * times * (SATURATION + 1) / (times + norms[at])
            self._postings[term] = at, weight.astype(np.float32)

    def rarity(self, term: str, holders: int | None = None) -> float:
        """The inverse document frequency: high for a word of few passages, highest for one of none."""
        if holders is None:
            posting = self._postings.get(term)
            holders = 0 if posting is None else len(posting[0])
        return math.log(1 + (len(self.passages) - holders + 0.5) / (holders + 0.5))

    def best(self, query: Iterable[str], count: int) -> list[Passage]:
        """Up to `count` passages that hold terms of the query, best first."""
        scores = np.zeros(len(self.passages), np.float32)
        for term in query:
            posting = self._postings.get(term)
            if posting is not None:
                scores[posting[0]] += posting[1]
        count = min(count, len(scores))
        if not count:
            return []
        top = np.argpartition(-scores, count - 1)[:count]
        return [self.passages[at] for at in sorted(top, key=lambda at: -scores[at]) if scores[at] > 0]
