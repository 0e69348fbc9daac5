"""Models of the Hugging Face hub, kept in that library's own cache."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from animacy.core.errors import ModelError
from animacy.core.models.model import Model
from animacy.core.models.progress import Progress
from animacy.core.models.wheels import sha256


class HubModel(Model):
    """A repository of the hub, or one file of it.

    Parameters:
        repo: "owner/name".
        file: one file in it; None takes the whole repository.
        revision: a branch, tag or commit; give a commit when it matters that nothing changes.
        patterns: globs of the files to take when `file` is None; None takes all.
    """

    def __init__(
        self, repo: str, file: str | None = None, revision: str | None = None, patterns: Sequence[str] | None = None
    ) -> None:
        super().__init__(f"{repo}:{file}" if file else repo, None, "unknown", f"https://huggingface.co/{repo}")
        self.repo = repo
        self.file = file
        self.revision = revision
        self.patterns = list(patterns) if patterns is not None else None

    def present(self) -> bool:
        """Whether the library's cache holds it."""
        try:
            self._locate(local_only=True)
        except ModelError:
            return False
        return True

    def path(self) -> Path:
        """The file or folder in the library's cache. Raises ModelError when it is not there."""
        return self._locate(local_only=True)

    def fetch(self, progress: Progress) -> None:
        """Download it; the library shows its own progress. Raises ModelError with a remedy."""
        self._locate(local_only=False)

    def verify(self) -> None:
        """Hash the large files, whose names in the library's cache are their sha256. Raises ModelError."""
        path = self.path()
        for link in [path] if path.is_file() else sorted(path.rglob("*")):
            blob = link.resolve()
            if not re.fullmatch("[0-9a-f]{64}", blob.name) or not blob.is_file():
                continue
            found = sha256(blob)
            if found != blob.name:
                raise ModelError(
                    f"model file {link} is damaged:\n  expected sha256 {blob.name}\n  found    sha256 {found}",
                    f"delete {blob} and start again",
                )

    def _locate(self, *, local_only: bool) -> Path:
        # The library takes 0.3 s to import: only those who name one of its models pay for it.
        import huggingface_hub
        from huggingface_hub import errors

        try:
            if self.file:
                found = huggingface_hub.hf_hub_download(
                    self.repo, self.file, revision=self.revision, local_files_only=local_only
                )
            else:
                found = huggingface_hub.snapshot_download(
                    self.repo, revision=self.revision, allow_patterns=self.patterns, local_files_only=local_only
                )
        except errors.LocalEntryNotFoundError as error:  # before its base class EntryNotFoundError
            why = "is not on this machine" if local_only else "is not on this machine, and the hub cannot be reached"
            raise ModelError(
                f"model {self.name} {why}", "check the network, or give a local path or a packaged model's name"
            ) from error
        except errors.GatedRepoError as error:
            raise ModelError(
                f"{self.origin} asks for your consent", "accept its terms there, then run `hf auth login`"
            ) from error
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
            raise ModelError(
                f"the hub has no {self.name}" + (f" at revision {self.revision}" if self.revision else ""),
                f"look at {self.origin}; for a private one run `hf auth login`",
            ) from error
        except (errors.HFValidationError, errors.HfHubHTTPError, OSError) as error:
            raise ModelError(f"cannot fetch {self.name}: {error}", "check the network and the free space") from error
        return Path(found)
