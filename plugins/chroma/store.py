"""A collection of Chroma as a store of knowledge."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import numpy as np
from chromadb.config import Settings

from animacy.core.errors import KnowledgeError
from animacy.core.knowledge.contract import Passage, Vectors

FOLDER = "chroma"
PAGE = 1000
"""Passages that are read or deleted at a time."""


class ChromaStore:
    """Implements `animacy.core.knowledge.contract.KnowledgeStore`.

    Two collections: the passages, and `<name>-documents` with the digest of each document that is wholly there.

    Parameters:
        url: of a Chroma server; None to keep everything in a folder.
        token: bearer token for the server.
        collection: its name, instead of the one that `open` is given.
    """

    def __init__(self, url: str | None = None, token: str | None = None, collection: str | None = None) -> None:
        self._url, self._token, self._name = url, token, collection
        self._client: Any = None
        self._passages: Any = None
        self._documents: Any = None

    def open(self, folder: Path, collection: str, identity: str) -> None:
        """Open or create; what is damaged on this machine, or of another identity, is begun anew."""
        if self._client is not None:
            return
        name = self._name or collection
        where = folder / FOLDER
        if self._url is None and _is_damaged(where / "chroma.sqlite3"):
            shutil.rmtree(where, ignore_errors=True)  # it can be made again from the documents
        try:
            self._open(where, name, identity)
        except KnowledgeError as error:
            if self._url is not None or "hnsw" not in str(error).lower():
                raise
            self._forget(name)  # the index of the vectors is damaged
            self._open(where, name, identity)

    def digests(self) -> dict[str, str]:
        """The digest of every document that is wholly in it, by source."""
        with self._told():
            return {
                item["source"]: item["digest"]
                for page in self._pages(self._documents, ["metadatas"])
                for item in page["metadatas"]
            }

    def add(self, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Add passages, or replace those of the same id."""
        with self._told():
            self._passages.upsert(
                ids=[passage.id for passage in passages],
                embeddings=np.ascontiguousarray(vectors, np.float32),
                documents=[passage.text for passage in passages],
                metadatas=[
                    {
                        "source": passage.source,
                        "headings": json.dumps(passage.headings, ensure_ascii=False),
                        "metadata": json.dumps(dict(passage.metadata), ensure_ascii=False),
                    }
                    for passage in passages
                ],
            )

    def finish(self, source: str, digest: str, ids: Sequence[str]) -> None:
        """Let go of the document's other passages, then note that it is whole."""
        with self._told():
            self._delete(source, keep=set(ids))
            self._documents.upsert(
                ids=[source], embeddings=[[1.0, 0.0]], metadatas=[{"source": source, "digest": digest}]
            )

    def remove(self, source: str) -> None:
        """Forget a document, or what there is of it."""
        with self._told():
            self._documents.delete(ids=[source])
            self._delete(source, keep=set())

    def nearest(self, vector: Vectors, count: int) -> list[tuple[Passage, float]]:
        """The nearest passages with their cosine similarity, best first."""
        with self._told():
            found = self._passages.query(
                query_embeddings=[vector], n_results=count, include=["documents", "metadatas", "distances"]
            )
            rows = zip(*(found[key][0] for key in ("ids", "documents", "metadatas", "distances")), strict=True)
            return [(_passage(*row), 1 - float(distance)) for *row, distance in rows]

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of these passages, by id."""
        if not ids:
            return {}
        with self._told():
            found = self._passages.get(ids=list(ids), include=["embeddings"])
            return {
                name: np.asarray(vector, np.float32)
                for name, vector in zip(found["ids"], found["embeddings"], strict=True)
            }

    def passages(self) -> list[Passage]:
        """Everything, also of documents that are not wholly in it."""
        with self._told():
            return [
                _passage(*row)
                for page in self._pages(self._passages, ["documents", "metadatas"])
                for row in zip(page["ids"], page["documents"], page["metadatas"], strict=True)
            ]

    def close(self) -> None:
        """Let go of it. May be called twice."""
        client, self._client = self._client, None
        self._passages = self._documents = None
        if client is not None:
            with contextlib.suppress(Exception):  # it is being given up
                client.close()

    def _open(self, folder: Path, name: str, identity: str) -> None:
        with self._told():
            self._client = self._connected(folder)
            found = {collection.name: collection for collection in self._client.list_collections()}
            there = found.get(name)
            if there is not None and (there.metadata or {}).get("identity") != identity:
                for stale in found.keys() & {name, f"{name}-documents"}:
                    self._client.delete_collection(stale)
            make = self._client.get_or_create_collection
            cosine = {"hnsw": {"space": "cosine"}}
            self._documents = make(f"{name}-documents", embedding_function=None)
            self._passages = make(name, embedding_function=None, configuration=cosine, metadata={"identity": identity})
            self._passages.get(limit=1, include=["embeddings"])  # a damaged index is noticed here

    def _forget(self, name: str) -> None:
        with self._told():
            self._client.delete_collection(name)
        self.close()

    def _connected(self, folder: Path) -> Any:
        settings = Settings(anonymized_telemetry=False)
        if self._url is None:
            folder.mkdir(parents=True, exist_ok=True)
            return chromadb.PersistentClient(path=str(folder), settings=settings)
        parts = urlsplit(self._url)
        secure = parts.scheme == "https"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else None
        port = parts.port or (443 if secure else 80)
        return chromadb.HttpClient(parts.hostname or "", port, ssl=secure, headers=headers, settings=settings)

    def _delete(self, source: str, keep: set[str]) -> None:
        ids = self._passages.get(where={"source": source}, include=[])["ids"]
        stale = [name for name in ids if name not in keep]
        for at in range(0, len(stale), PAGE):
            self._passages.delete(ids=stale[at : at + PAGE])

    def _pages(self, collection: Any, include: list[str]) -> Iterator[Any]:
        offset = 0
        while True:
            page = collection.get(limit=PAGE, offset=offset, include=include)
            if page["ids"]:
                yield page
            if len(page["ids"]) < PAGE:
                return
            offset += PAGE

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Chroma's errors, said so that they can be mended."""
        try:
            yield
        except KnowledgeError:
            raise
        except Exception as raised:  # chromadb raises types of its own, of httpx, and plain ValueError
            error: BaseException = raised
            while error.__context__ is not None:  # what its cleaning up raises hides the cause
                error = error.__context__
            text = str(error) or type(error).__name__
            if self._url is not None:
                remedy = "Check `knowledge.url` and `knowledge.token`, and that the server is running."
                raise KnowledgeError(f"the Chroma server at {self._url} failed: {text}", remedy) from error
            raise KnowledgeError(
                f"the index of the documents failed: {text}", "Delete the folder `knowledge` in the cache."
            ) from error


def _is_damaged(database: Path) -> bool:
    """Whether SQLite cannot read it; Chroma itself does not recover from that."""
    if not database.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=10)) as connection:
            answer: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            return answer != "ok"
    except sqlite3.OperationalError:
        return False  # it is locked, or may not be read: Chroma says so
    except sqlite3.DatabaseError:
        return True


def _passage(name: str, text: str, metadata: Mapping[str, Any]) -> Passage:
    return Passage(
        name, text, str(metadata["source"]), tuple(json.loads(metadata["headings"])), json.loads(metadata["metadata"])
    )
