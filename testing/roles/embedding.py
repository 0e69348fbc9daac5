"""Embeddings of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from animacy.core.knowledge.contract import Embedder, Vectors
from animacy.testing.bench import Bench
from animacy.testing.roles.blocking import close, load
from animacy.testing.rule import Rule, Suite, expect

TEXTS = (
    "The cafe serves soup and cake.",
    "A whale hangs in the hall.",
    "",
    "日本語のテキスト 🙂",
    "word " * 2000,
)
"""Documents hold all of these."""
QUESTION, NEAR, FAR = "Where can I eat something?", TEXTS[0], TEXTS[1]
UNIT = 1e-3
SAME = 0.97
"""Cosine of a text with itself in other company: quantised models round by batch."""


async def names_itself(bench: Bench) -> str | None:
    """Vectors of another model are never compared with: the index is made anew when this changes."""
    embedder = bench.product
    identity = embedder.identity
    expect(isinstance(identity, str) and identity.strip(), f"its identity is {identity!r}")
    await bench.blocking(embedder.embed, ["a text"])
    expect(embedder.identity == identity, f"its identity changes from {identity!r} to {embedder.identity!r}")
    other = bench.make()
    try:
        await load(bench, other)
        expect(other.identity == identity, f"two of the same settings are {identity!r} and {other.identity!r}")
    finally:
        await close(bench, other)
    return str(identity)


async def keeps_its_form(bench: Bench) -> str | None:
    """One unit vector a row, of as many dimensions whatever the texts: an index holds nothing else."""
    embedder = bench.product
    sizes = {len(texts): await _embedded(bench, embedder, texts) for texts in (TEXTS, TEXTS[:1], TEXTS[:2])}
    dimensions = {vectors.shape[1] for vectors in sizes.values()}
    expect(len(dimensions) == 1, f"the number of dimensions changes: {', '.join(map(str, sorted(dimensions)))}")
    return f"{dimensions.pop()} dimensions"


async def is_steady(bench: Bench) -> str | None:
    """A document that did not change is not read again: its vector must be what it would be today."""
    embedder = bench.product
    together = await _embedded(bench, embedder, TEXTS)
    alone = np.concatenate([await _embedded(bench, embedder, [text]) for text in TEXTS])
    least = float((together * alone).sum(1).min())
    expect(least > SAME, f"a text has another vector alone than among others: cosine {least:.2f}")
    return None


async def compares(bench: Bench) -> str | None:
    """What is near in meaning is near in number; told, but not judged: a test's embedder may know no meaning."""
    question, near, far = await _embedded(bench, bench.product, [QUESTION, NEAR, FAR])
    return f"{QUESTION!r}: {question @ near:.2f} to {NEAR!r}, {question @ far:.2f} to {FAR!r}"


async def loads_twice(bench: Bench) -> str | None:
    """`load` is called by whoever needs it, and `close` by whoever is done."""
    embedder = bench.make()
    try:
        await load(bench, embedder)
        await load(bench, embedder)
        await _embedded(bench, embedder, TEXTS[:1])
    finally:
        await close(bench, embedder)
        await close(bench, embedder)
    return None


async def _embedded(bench: Bench, embedder: Any, texts: Any) -> Vectors:
    vectors: Vectors = await bench.blocking(embedder.embed, list(texts))
    expect(isinstance(vectors, np.ndarray), f"embed returns a {type(vectors).__name__}, not an array of numpy")
    expect(vectors.dtype == np.float32, f"vectors are {vectors.dtype}, not float32")
    expect(
        vectors.ndim == 2 and len(vectors) == len(texts), f"{len(texts)} texts become an array of shape {vectors.shape}"
    )
    expect(bool(np.isfinite(vectors).all()), "a vector holds numbers that are not finite")
    norms = np.linalg.norm(vectors, axis=1)
    expect(np.allclose(norms, 1, atol=UNIT), f"vectors have lengths from {norms.min():.3f} to {norms.max():.3f}, not 1")
    return vectors


async def _use(bench: Bench, product: Any) -> Sequence[BaseException]:
    await _embedded(bench, product, TEXTS[:1])
    return []


SUITE = Suite(
    Embedder,
    "an animacy.core.knowledge.contract.Embedder",
    load,
    close,
    (
        Rule("names its model", names_itself),
        Rule("keeps its form", keeps_its_form),
        Rule("gives a text the same vector", is_steady),
        Rule("compares meanings", compares),
        Rule("loads and closes twice", loads_twice),
    ),
    use=_use,
)
