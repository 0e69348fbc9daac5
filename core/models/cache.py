"""The folder on this machine that keeps fetched models, and its locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from animacy.core.errors import ModelError
from animacy.core.models.progress import Progress

CACHE_VARIABLE = "ANIMACY_CACHE"


def cache_dir() -> Path:
    """Where fetched models are kept: $ANIMACY_CACHE, or the user's cache folder. It need not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser().absolute() if chosen else user_cache_path("animacy")


@contextmanager
def fetch_lock(folder: Path, name: str, progress: Progress) -> Iterator[None]:
    """Keep other processes from fetching model `name` into the cache `folder` at the same time; waits for them.

    The system releases the lock of a process that dies. Raises ModelError when the cache cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.note(f"waiting for another process that fetches {name}")
            lock.acquire(poll_interval=0.2)
    except OSError as error:
        raise cache_error(folder, name, error) from error
    try:
        yield
    finally:
        lock.release()


def cache_error(folder: Path, name: str, error: OSError) -> ModelError:
    """What to tell when the cache cannot be written."""
    return ModelError(
        f"cannot store model {name} in {folder}: {error.strerror or error}",
        f"free some space, make the folder writable, or set {CACHE_VARIABLE} to another folder",
    )
