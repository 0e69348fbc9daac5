"""Documents of a folder: which there are, and reading them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from animacy.core.errors import KnowledgeError
from animacy.core.knowledge.contract import Passage
from animacy.core.knowledge.markdown import Piece, markdown_pieces, text_pieces

MARKDOWN = (".md", ".markdown")
SUFFIXES = (*MARKDOWN, ".txt")
LARGEST = 5_000_000
"""Bytes of the largest document."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document, read. `digest` is the sha256 of its bytes."""

    source: str
    digest: str
    passages: tuple[Passage, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


def find_documents(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """The documents that `paths` name, by source. A folder stands for all text and Markdown files below it.

    Relative paths start at `folder`, the recipe's; hidden files and folders are left out. Raises KnowledgeError for a
    path that does not exist or is no such file.
    """
    found: dict[str, Path] = {}
    for path in paths:
        where = Path(os.path.abspath(folder / path.expanduser()))  # noqa: PTH100  (links keep their names)
        if where.is_dir():
            found.update((source_of(file, folder), file) for file in _below(where))
        elif not where.exists():
            raise KnowledgeError(f"there is no document {where}", "Correct the path; it is relative to the recipe.")
        elif where.suffix.lower() not in SUFFIXES:
            raise KnowledgeError(
                f"{where} is no document that can be read", f"Documents are files that end in {', '.join(SUFFIXES)}."
            )
        else:
            found[source_of(where, folder)] = where
    return found


def source_of(path: Path, folder: Path) -> str:
    """How a document is called: relative to the recipe's folder if it is in it, else its whole path."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (links keep their names)
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def digest_of(path: Path) -> str:
    """The sha256 of a document's bytes. Raises KnowledgeError when it cannot be read or is too large."""
    return hashlib.sha256(_bytes(path)).hexdigest()


def read_document(source: str, path: Path) -> Document:
    """Read a document and split it. Raises KnowledgeError naming the file, what is wrong with it, and the remedy."""
    content = _bytes(path)
    text = _text(content, path)
    metadata: dict[str, str] = {}
    if path.suffix.lower() in MARKDOWN:
        metadata, text = _front_matter(text, path)
        pieces = markdown_pieces(text)
    else:
        pieces = text_pieces(text)
    return Document(
        source, hashlib.sha256(content).hexdigest(), tuple(_passages(source, list(pieces), metadata)), metadata
    )


def _below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(where) / name


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise KnowledgeError(
                f"the document {path} has {size / 1e6:.1f} MB, and {LARGEST / 1e6:.0f} MB are the most",
                "Split it into several files.",
            )
        return path.read_bytes()
    except OSError as error:
        raise KnowledgeError(
            f"cannot read the document {path}: {error.strerror or error}", "Check its permissions."
        ) from error


def _text(content: bytes, path: Path) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in content:
        raise KnowledgeError(f"the document {path} is binary, not text", "Save it as text or Markdown in UTF-8.")
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise KnowledgeError(f"the document {path} is not in UTF-8 (line {line})", "Save it again in UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _front_matter(text: str, path: Path) -> tuple[dict[str, str], str]:
    """What stands between two lines of dashes at the top, if it is a mapping; and the rest."""
    lines = text.split("\n")
    if lines[0].strip() != "---":
        return {}, text
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() in ("---", "...")), None)
    if end is None:
        return {}, text
    try:
        data = yaml.safe_load("\n".join(lines[1:end]))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 2}" if mark else ""
        raise KnowledgeError(
            f"the front matter of {path}{line} is no valid YAML", "Mend it, or take the dashes at the top away."
        ) from error
    if not isinstance(data, dict):
        return {}, text
    return {str(key): _plain(value) for key, value in data.items() if value is not None}, "\n".join(lines[end + 1 :])


def _plain(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _passages(source: str, pieces: list[Piece], metadata: Mapping[str, str]) -> Iterator[Passage]:
    seen: dict[tuple[object, ...], int] = {}
    title = metadata.get("title")
    for piece in pieces:
        headings = piece.headings
        if title and title not in headings[:1]:
            headings = (title, *headings)
        key = (source, headings, piece.text, tuple(metadata.items()))
        seen[key] = seen.get(key, 0) + 1
        identity = hashlib.sha256(repr((*key, seen[key])).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        yield Passage(identity, piece.text, source, headings, metadata)
