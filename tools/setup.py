"""Makes the virtual environments, and says what that cost.

`setup.py FOLDER` makes the one of the demo and of all tests but the engine's. `setup.py FOLDER --engine` makes
FOLDER/engine on top of it, with PyTorch, for the engine's tests: the others run without PyTorch, as users do.
Run by `make` with any Python from 3.11 on; it needs nothing but the standard library.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import venv
from pathlib import Path

MINIMUM = (3, 11)
DOWNLOAD = re.compile(r"Downloading .*?\((?P<size>[\d.]+) (?P<unit>[kMG]?B)\)")
UNITS = {"B": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def main(folder: Path) -> None:
    """Create `folder`, install the project with its test extra, fetch the models."""
    make(folder, "test")
    began = time.monotonic()
    subprocess.run([str(folder / "bin" / "animacy"), "doctor", "--fetch", "--no-load"], check=True)
    print(f"models: {time.monotonic() - began:.0f} s", flush=True)


def main_engine(base: Path) -> None:
    """Create `base`/engine, which has all that `base` has, and PyTorch."""
    make(base / "engine", "engine-test", base)


def make(folder: Path, extra: str, base: Path | None = None) -> None:
    """Create the environment `folder`, on top of `base` if given, and install the project into it with an extra."""
    if sys.version_info < MINIMUM:
        sys.exit(f"Python {MINIMUM[0]}.{MINIMUM[1]} or newer is needed, this is {sys.version.split()[0]}")
    began = time.monotonic()
    print(f"setting up {folder} with Python {sys.version.split()[0]}", flush=True)
    python = str(folder / "bin" / "python")
    if not Path(python).exists():
        venv.create(folder, with_pip=True)
    if base is not None:
        Path(packages_of(python), "base.pth").write_text(packages_of(str(base / "bin" / "python")) + "\n")
    downloaded = install(python, extra)
    print(f"packages: {downloaded / 1e6:.0f} MB downloaded, {time.monotonic() - began:.0f} s", flush=True)


def packages_of(python: str) -> str:
    """The folder where an environment keeps its packages."""
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()


def install(python: str, extra: str) -> float:
    """Install the project with an extra; shows each package as it comes. Returns the bytes downloaded."""
    # Modules are compiled when they are first imported: most never are.
    quick = ["--disable-pip-version-check", "--no-compile", "--progress-bar", "off"]
    command = [python, "-m", "pip", "install", *quick, "-e", f".[{extra}]"]
    total, seen = 0.0, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        tail: list[str] = []
        for line in process.stdout:
            tail = [*tail[-30:], line]
            match = DOWNLOAD.search(line)
            if match and not match.string.strip().endswith(".metadata"):
                size = float(match["size"]) * UNITS[match["unit"]]
                total += size
                seen += 1
                if size > 5_000_000:
                    print(f"  {line.strip()}  ({total / 1e6:.0f} MB so far, {seen} packages)", flush=True)
    if process.returncode:
        sys.exit("".join(tail) + "\npip could not install the project; see above")
    return total


if __name__ == "__main__":
    (main_engine if "--engine" in sys.argv[2:] else main)(Path(sys.argv[1]))
