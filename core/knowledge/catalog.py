"""Where a character's index is kept, and which documents the command line added or took away."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from animacy.core.errors import KnowledgeError
from animacy.core.knowledge.documents import find_documents
from animacy.core.models import cache_dir

CATALOG = "documents.json"


def key_of(name: str, recipe: Path) -> str:
    """How a character's index is called: its name, and a part of a hash of its recipe's path."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24].rstrip("-") or "character"
    return f"{plain}-{hashlib.sha256(str(recipe.resolve()).encode()).hexdigest()[:12]}"


def folder_of(key: str) -> Path:
    """Where a character's index is kept: in the cache, since it can be made again."""
    return cache_dir() / "knowledge" / key


@dataclass(frozen=True, slots=True)
class Catalog:
    """A character's documents: those of its recipe, and what was changed by hand.

    Parameters:
        key: how the character's index is called.
        listed: the recipe's documents and folders.
        base: the recipe's folder.
        folder: for the index; see `folder_of`.
    """

    key: str
    listed: Sequence[Path]
    base: Path
    folder: Path

    def documents(self) -> dict[str, Path]:
        """What there is to know now, by source. Raises KnowledgeError for a path that does not exist."""
        changes = self._read()
        found = find_documents(self.listed, self.base)
        # What was added by hand may have gone since; nobody writes that down again.
        found |= find_documents((path for path in map(Path, changes["added"]) if path.exists()), self.base)
        return {source: path for source, path in found.items() if source not in changes["removed"]}

    def add(self, paths: Iterable[Path]) -> list[str]:
        """Know these documents too, from now on; returns their sources. Raises KnowledgeError."""
        here = [Path(os.path.abspath(path.expanduser())) for path in paths]  # noqa: PTH100  (links keep their names)
        found = find_documents(here, self.base)
        if here and not found:
            raise KnowledgeError(
                f"there are no documents in {', '.join(map(str, here))}",
                "Give text or Markdown files, or a folder.",
            )
        with self.lock("catalog"):
            changes = self._read()
            changes["added"] = sorted({*changes["added"], *map(str, here)})
            changes["removed"] = sorted(set(changes["removed"]) - found.keys())
            self._write(changes)
        return list(found)

    def remove(self, source: str) -> None:
        """Know this document no longer, even if the recipe names it, until it is added again."""
        with self.lock("catalog"):
            changes = self._read()
            path = self.documents().get(source)
            changes["added"] = sorted(set(changes["added"]) - {str(path)})
            changes["removed"] = sorted({*changes["removed"], source})
            self._write(changes)

    def lock(self, name: str) -> FileLock:
        """A lock between processes; the system releases that of a process that dies."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error(error) from error
        return FileLock(self.folder / f".{name}.lock")

    def _read(self) -> dict[str, list[str]]:
        path = self.folder / CATALOG
        try:
            data = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            data = {}
        except (OSError, ValueError) as error:
            raise KnowledgeError(f"cannot read {path}: {error}", "Delete it, and add your documents again.") from error
        changes: Mapping[str, list[str]] = data if isinstance(data, dict) else {}
        return {key: [str(item) for item in changes.get(key) or ()] for key in ("added", "removed")}

    def _write(self, changes: Mapping[str, list[str]]) -> None:
        path = self.folder / CATALOG
        new = path.with_suffix(f".{os.getpid()}")
        try:
            new.write_text(json.dumps(changes, indent=2), "utf-8")
            new.replace(path)
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> KnowledgeError:
        return KnowledgeError(
            f"cannot write into {self.folder}: {error.strerror or error}",
            "Free some space, make the folder writable, or set ANIMACY_CACHE to another folder.",
        )
