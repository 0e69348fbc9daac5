"""Stores of what a character knows."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from animacy.core.errors import KnowledgeError
from animacy.core.knowledge.contract import KnowledgeStore, Passage, Vectors
from animacy.testing.bench import Bench
from animacy.testing.roles.blocking import close
from animacy.testing.rule import NotJudgedError, Rule, Suite, expect

DIMENSIONS = 8
IDENTITY, OTHER_IDENTITY = "conform-1", "conform-2"
WHALE, CAFE, HALL = (
    Passage("whale-1", "The whale is 21 metres long.", "documents/whale.md", ("The whale",), {"author": "Ada"}),
    Passage("cafe-1", "Soup and cake, from ten to six. 🙂", "documents/cafe.md"),
    Passage("whale-2", "It hangs in the hall.", "documents/whale.md", ("The whale", "Where"), {"author": "Ada"}),
)
PASSAGES = (WHALE, CAFE, HALL)


def vectors(count: int = len(PASSAGES)) -> Vectors:
    """Unit vectors, each at a right angle to all others."""
    return np.eye(DIMENSIONS, dtype=np.float32)[:count]


async def finds(bench: Bench) -> str | None:
    """The nearest first, each as it was added, with its cosine similarity."""
    async with _filled(bench) as store:
        question = vectors()[0] * np.float32(0.8) + vectors()[1] * np.float32(0.6)
        found = list(await bench.blocking(store.nearest, question, 2))
        expect(len(found) == 2, f"{len(found)} passages are nearest when 2 are asked for")
        first, second = found
        expect((first[0].id, second[0].id) == (WHALE.id, CAFE.id), "the nearest passage is not the first")
        expect(first[0] == WHALE, f"a passage comes back changed: {first[0]}, it was {WHALE}")
        expect(abs(first[1] - 0.8) < 0.01, f"the cosine similarity is {first[1]:.3f}, it should be 0.8")
        every = await bench.blocking(store.nearest, question, 100)
        expect(len(every) == len(PASSAGES), f"{len(every)} of {len(PASSAGES)} passages are there")
        known = await bench.blocking(store.vectors, [CAFE.id, "no-such-id"])
        expect(set(known) == {CAFE.id}, f"vectors were asked of {CAFE.id} and of none that is there, got {set(known)}")
        expect(np.allclose(known[CAFE.id], vectors()[1], atol=1e-3), "a vector comes back changed")
    return None


async def keeps_one(bench: Bench) -> str | None:
    """A document that is indexed again replaces itself."""
    async with _filled(bench) as store:
        await _add(bench, store)
        everything = await _ids(bench, store)
        expect(
            everything == sorted(p.id for p in PASSAGES), f"passages that were added twice are there as {everything}"
        )
        changed = Passage(WHALE.id, "The whale is 22 metres long.", WHALE.source, WHALE.headings, WHALE.metadata)
        await bench.blocking(store.add, [changed], vectors(1))
        await bench.blocking(store.finish, WHALE.source, "digest-2", [WHALE.id])
        everything = await _ids(bench, store)
        expect(everything == sorted((WHALE.id, CAFE.id)), "finish leaves passages that the document no longer has")
        (found, _), *_ = await bench.blocking(store.nearest, vectors()[0], 1)
        expect(found.text == changed.text, "a passage that was added again is the old one")
        digests = await bench.blocking(store.digests)
        expect(dict(digests) == {WHALE.source: "digest-2", CAFE.source: "digest-1"}, f"the digests are {dict(digests)}")
    return None


async def forgets(bench: Bench) -> str | None:
    """A document that was deleted is not quoted."""
    async with _filled(bench) as store:
        await bench.blocking(store.remove, WHALE.source)
        expect(await _ids(bench, store) == [CAFE.id], "remove leaves passages of the document")
        expect(WHALE.source not in await bench.blocking(store.digests), "remove leaves the document's digest")
        await bench.blocking(store.remove, "documents/never.md")
    return None


async def persists(bench: Bench) -> str | None:
    """Documents are indexed once, not at every start; and anew for another embedding model."""
    async with _filled(bench) as store:
        await close(bench, store)
        again = bench.make()
        try:
            await bench.blocking(again.open, bench.folder, bench.seen["collection"], IDENTITY)
            expect(len(await _ids(bench, again)) == len(PASSAGES), "passages are gone after it was opened again")
            expect(set(await bench.blocking(again.digests)) == {WHALE.source, CAFE.source}, "digests are gone")
        finally:
            await close(bench, again)
        other = bench.make()
        try:
            await bench.blocking(other.open, bench.folder, bench.seen["collection"], OTHER_IDENTITY)
            expect(not await _ids(bench, other), "passages of another identity are still there: their vectors differ")
        finally:
            await close(bench, other)
    return None


async def tells_of_no_folder(bench: Bench) -> str | None:
    """A disk that cannot be written to is not the character's last word."""
    blocked = bench.folder / "blocked"
    blocked.write_text("a file, where a folder should be")
    store = bench.make()
    try:
        await bench.blocking(store.open, blocked, "conform-blocked", IDENTITY)
    except KnowledgeError as error:
        bench.note(error)
        return str(error)
    finally:
        await close(bench, store)
    raise NotJudgedError("it keeps nothing in the folder")


@contextlib.asynccontextmanager
async def _filled(bench: Bench) -> AsyncIterator[Any]:
    """A store of its own with three passages of two documents, emptied at the end."""
    if bench.unloaded:
        raise NotJudgedError(bench.unloaded)
    store = bench.make()
    collection = bench.seen["collection"] = f"conform-{uuid.uuid4().hex[:12]}"
    await bench.blocking(store.open, bench.folder, collection, IDENTITY)
    try:
        await _add(bench, store)
        yield store
    finally:
        await bench.blocking(store.open, bench.folder, collection, IDENTITY)
        for source in (WHALE.source, CAFE.source):
            await bench.blocking(store.remove, source)
        await close(bench, store)


async def _add(bench: Bench, store: Any) -> None:
    await bench.blocking(store.add, PASSAGES, vectors())
    for source in (WHALE.source, CAFE.source):
        ids = [passage.id for passage in PASSAGES if passage.source == source]
        await bench.blocking(store.finish, source, "digest-1", ids)


async def _ids(bench: Bench, store: Any) -> list[str]:
    return sorted(passage.id for passage in await bench.blocking(store.passages))


async def _load(bench: Bench, product: Any) -> None:
    await bench.blocking(product.open, bench.folder, "conform-empty", IDENTITY)


SUITE = Suite(
    KnowledgeStore,
    "an animacy.core.knowledge.contract.KnowledgeStore",
    _load,
    close,
    (
        Rule("finds the nearest", finds),
        Rule("keeps a document once", keeps_one),
        Rule("forgets a document", forgets),
        Rule("keeps what it has", persists),
        Rule("tells of a folder it cannot use", tells_of_no_folder),
    ),
)
