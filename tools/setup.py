"""Makes the virtual environment: everything the demo and the tests need, and says what that cost.

Run by `make setup` with any Python from 3.11 on; it needs nothing but the standard library.
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
    """Create `folder`, install the project into it, fetch the models."""
    if sys.version_info < MINIMUM:
        sys.exit(f"Python {MINIMUM[0]}.{MINIMUM[1]} or newer is needed, this is {sys.version.split()[0]}")
    began = time.monotonic()
    print(f"setting up {folder} with Python {sys.version.split()[0]}", flush=True)
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    packages = install(python)
    seconds = time.monotonic() - began
    print(f"packages: {packages / 1e6:.0f} MB downloaded, {seconds:.0f} s", flush=True)
    began = time.monotonic()
    subprocess.run([str(folder / "bin" / "animacy"), "doctor", "--fetch", "--no-load"], check=True)
    print(f"models: {time.monotonic() - began:.0f} s; set up in {seconds + time.monotonic() - began:.0f} s", flush=True)


def install(python: str) -> float:
    """Install the project with its test extra; shows each package as it comes. Returns the bytes downloaded."""
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", "-e", ".[test]"]
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
    main(Path(sys.argv[1]))
