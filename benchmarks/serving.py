"""`animacy run` as a process of its own, as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
IRIS = ROOT / "recipes" / "iris" / "recipe.yaml"
WARM_UP = IRIS.parent / "question.flac"
QUESTIONS = ROOT / "tests" / "data" / "questions"
START_SECONDS = 120.0
STOP_SECONDS = 20.0
ANIMACY = (sys.executable, "-c", "from animacy.core.cli import main; main()")


@dataclass(frozen=True, slots=True)
class Serving:
    """A character that is being served."""

    url: str
    process: int

    def resident(self) -> int:
        """Bytes of memory that the server uses now (Linux)."""
        status = Path(f"/proc/{self.process}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return 1024 * int(found[1])


@contextlib.asynccontextmanager
async def serving(recipe: Path = IRIS, port: int = 0, log: Path | None = None) -> AsyncIterator[Serving]:
    """Start, wait until one can talk to it, and stop it in the end."""
    with (log or Path("/dev/null")).open("wb") as errors:
        command = [*ANIMACY, "run", str(recipe), "--port", str(port)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                url = None
                while url is None:
                    line = (await process.stdout.readline()).decode()
                    if not line:
                        raise RuntimeError(f"animacy run ended early ({await process.wait()}); see {log or '--log'}")
                    url = re.search(r"http://\S+", line)
            yield Serving(url[0], process.pid)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                try:
                    await asyncio.wait_for(process.wait(), STOP_SECONDS)
                except TimeoutError:
                    process.kill()
                    await process.wait()
