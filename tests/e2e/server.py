"""`animacy run` as a process of its own, as users start it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Running:
    """A character that can be talked to."""

    url: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def animacy_run(recipe: Path, *options: str, prefix: Sequence[str] = ()) -> Iterator[Running]:
    """Start, wait until it says that one can talk, end it with SIGTERM. `prefix` is put before the command."""
    command = [sys.executable, "-c", "from animacy.core.cli import main; main()", "run", str(recipe), *options]
    with subprocess.Popen(
        [*prefix, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    ) as process:
        lines: list[str] = []
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if match := re.search(r"Talk to .* at (http://\S+)", line):
                    break
            else:
                raise AssertionError("it did not start:\n" + "".join(lines))
            timer.cancel()
            reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
            reader.start()
            yield Running(match[1], process)
        finally:
            timer.cancel()
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    errors = [line for line in lines if "Traceback" in line or "Task was destroyed" in line or "ERROR" in line]
    assert not errors, "".join(lines)
    assert process.returncode == 0, "".join(lines)
