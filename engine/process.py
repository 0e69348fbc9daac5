"""An engine in a process of its own, so that no Python of the caller's takes its time. Needs no PyTorch here."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from animacy.engine.address import Address
from animacy.engine.errors import EngineError, EngineGoneError
from animacy.engine.serve import EngineOptions

_SECONDS_TO_LISTEN = 120.0
"""Importing PyTorch from a cold disk takes its time."""
_SECONDS_TO_STOP = 10.0
_LINES = 5
"""How many of its last lines an error shows."""


class EngineProcess:
    """Starts an engine process that ends with this object, or with this process, however that ends.

    It listens at `address` when this is made, and goes on to load: `EngineClient.connect` waits for it and learns why
    it cannot. Blocks until it listens: not for an event loop.

    Raises:
        EngineError: the options are wrong, or the process ended at once; the error holds what it printed.
    """

    def __init__(self, options: EngineOptions) -> None:
        options.resolve()
        self._folder = Path(tempfile.mkdtemp(prefix="animacy-engine-"))
        self.address = Address(path=self._folder / "socket")
        self._log = (self._folder / "log").open("wb")
        command = [sys.executable, "-m", "animacy.engine.serve", options.dump(), str(self.address)]
        # A session of its own: Ctrl-C is for this process, which then stops the other in order.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True
        )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def gone(self) -> EngineGoneError:
        """The error that says how it ended, and what it printed last."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_STOP)
        code = self._process.returncode
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = "hung up" if code is None else f"ended with exit code {code}"
        last = (self._folder / "log").read_text(errors="replace").strip().splitlines()[-_LINES:]
        said = "".join(f"\n  | {line}" for line in last)
        return EngineGoneError(f"the engine process {how}{said}", "it starts again with the next conversation")

    def close(self) -> None:
        """Stop it. Blocks until it has ended; may be called twice."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        for next_means in (self._process.terminate, self._process.kill, None):
            try:
                self._process.wait(_SECONDS_TO_STOP)
                break
            except subprocess.TimeoutExpired:
                if next_means is not None:
                    next_means()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + _SECONDS_TO_LISTEN
        while not self.address.answers():
            if self._process.poll() is not None:
                raise self.gone()
            if time.monotonic() > deadline:
                raise EngineError(f"the engine process does not listen after {_SECONDS_TO_LISTEN:.0f} s", "try again")
            time.sleep(0.02)
