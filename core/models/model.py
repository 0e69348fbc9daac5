"""What a model is to the rest of Animacy, and getting several at once."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from animacy.core.errors import ModelError
from animacy.core.models.progress import ConsoleProgress, Progress, megabytes


class Model(ABC):
    """One model: a file or a folder that is on this machine, or can be brought there.

    Parameters:
        name: how people and messages call it; unique among the models of one character.
        size: bytes on disk, None when not known before it is fetched.
        licence: SPDX name, or "unknown" for what a user brings along.
        origin: where it comes from (an address or a path), for people.
    """

    def __init__(self, name: str, size: int | None, licence: str, origin: str) -> None:
        self.name = name
        self.size = size
        self.licence = licence
        self.origin = origin

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def download_size(self) -> int | None:
        """Bytes that a fetch transfers, None when not known."""
        return self.size

    @abstractmethod
    def present(self) -> bool:
        """Whether it is here, judged cheaply and without a network.

        Raises ModelError when something is here that is visibly damaged.
        """

    @abstractmethod
    def path(self) -> Path:
        """The file or folder. Raises ModelError when it is not here."""

    @abstractmethod
    def fetch(self, progress: Progress) -> None:
        """Bring it here, telling `progress` of every byte. Blocks. Raises ModelError with a remedy."""

    @abstractmethod
    def verify(self) -> None:
        """Read every byte and compare it with what is promised. Raises ModelError naming the damaged file."""

    def remove(self) -> None:  # noqa: B027 - most models are not ours to delete
        """Delete what a fetch would bring back; does nothing for files that belong to the user."""

    def ensure(self, progress: Progress | None = None) -> Path:
        """The file or folder, fetched first if need be. Blocks while fetching. Raises ModelError."""
        return fetch_all([self], progress)[0]


def fetch_all(models: Iterable[Model], progress: Progress | None = None, *, repair: bool = False) -> list[Path]:
    """Bring all models here, with one total of bytes, and return their paths in the order given.

    `repair` checks every byte of what is here, and fetches again what is damaged. Raises ModelError.
    """
    models = list(models)
    wanted = list({model.name: model for model in models}.values())
    if repair:
        for model in wanted:
            _remove_if_damaged(model)
    missing = [model for model in wanted if not model.present()]
    if missing:
        progress = progress or ConsoleProgress()
        known = [model.download_size for model in missing]
        total = sum(size for size in known if size is not None) if any(known) else None
        for model in missing:
            size = megabytes(model.size) if model.size else "size not known beforehand"
            progress.note(f"{model.name}: {size}, licence {model.licence}, from {model.origin}")
        started = time.monotonic()
        progress.begin(", ".join(model.name for model in missing), total)
        try:
            for model in missing:
                model.fetch(progress)
        finally:
            progress.end()
        fetched = sum(model.size or 0 for model in missing)
        progress.note(f"fetched {megabytes(fetched)} in {time.monotonic() - started:.1f} s")
    return [model.path() for model in models]


def _remove_if_damaged(model: Model) -> None:
    try:
        if model.present():
            model.verify()
    except ModelError:
        model.remove()
