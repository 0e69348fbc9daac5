"""Results that took long to compute, kept on disk for the next start.

They are a convenience: what is missing, damaged or cannot be written is computed again, and nobody is told.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from animacy.core.models import cache_dir

DIGEST = 24
"""Hexadecimal digits of a SHA-256 in a file's name: once of the key, once of the content, for the check on reading."""


class Computed:
    """One kind of results, in a folder of the model cache of its own. Blocks on the disk; safe for several processes.

    Parameters:
        kind: name of the folder.
        limit: so many files are kept, those used last.
    """

    def __init__(self, kind: str, limit: int) -> None:
        self._kind, self._limit = kind, limit

    def find(self, *key: object) -> Path | None:
        """The file that was added under this key, its content checked; None when there is none.

        The key must name all that the result depends on; two keys are equal when they print alike.
        """
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{_short(repr(key).encode())}-*"):
                if path.name.endswith(_short(path.read_bytes())):
                    os.utime(path)
                    return path
                path.unlink()
        return None

    def add(self, content: bytes, *key: object) -> None:
        """Keep the result, and forget those that were not used for longest. Does nothing when the disk refuses."""
        name = f"{_short(repr(key).encode())}-{_short(content)}"
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(prefix=".draft-", dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                Path(draft).replace(self._folder / name)
            except OSError:
                Path(draft).unlink(missing_ok=True)
                raise
            kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in kept[: -self._limit]:
                path.unlink(missing_ok=True)

    @property
    def _folder(self) -> Path:
        return cache_dir() / self._kind


def file_identity(path: Path) -> tuple[str, int, int]:
    """A file as part of a key, without reading it: where it is, its bytes, and when it was written (ns)."""
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST]
