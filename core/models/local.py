"""Models that a user has as files."""

from __future__ import annotations

from pathlib import Path

from animacy.core.errors import ModelError
from animacy.core.models.model import Model
from animacy.core.models.progress import Progress


class LocalModel(Model):
    """A file or folder of the user's. There is nothing to fetch and no hash to compare."""

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser().absolute()
        size = self._path.stat().st_size if self._path.is_file() else None
        super().__init__(str(path), size, "unknown", str(self._path))

    def present(self) -> bool:
        """Whether it exists."""
        return self._path.exists()

    def path(self) -> Path:
        """The file or folder. Raises ModelError when it does not exist."""
        if not self.present():
            raise ModelError(f"there is no model file {self._path}", "check the path; it is relative to the recipe")
        return self._path

    def fetch(self, progress: Progress) -> None:
        """A missing file of the user's cannot be fetched: raises ModelError."""
        self.path()

    def verify(self) -> None:
        """Raises ModelError when it is missing or empty."""
        if self.path().is_file() and not self._path.stat().st_size:
            raise ModelError(f"model file {self._path} is empty", "copy it again")
