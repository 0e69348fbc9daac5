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
_SECONDS_TO_END = 2.0
_LINES = 5
"""How many of its last lines an error shows."""


class EngineProcess:
    """An engine process that ends with this object, or with this process, however that ends.

    All methods block and belong to one thread. Raises EngineError when the options are wrong.
    """

    def __init__(self, options: EngineOptions) -> None:
        options.resolve()
        self._options = options
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this object, which closes it
        self._process: subprocess.Popen[bytes] | None = None
        self.address = Address()
        """Where it listens, once it was started."""

    @property
    def pid(self) -> int | None:
        """Its number; None when it runs no more, or not yet."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> EngineProcess:
        """Start it, unless it runs, and wait until it listens at `address`; it then goes on to load.

        `EngineClient.connect` waits for that, and learns why if it cannot.

        Raises:
            EngineError: it ended at once; the error holds what it printed.
        """
        if self.pid is not None:
            return self
        self._reap()
        self.address = Address(path=Path(tempfile.mkdtemp(prefix="animacy-engine-")) / "socket")
        command = [sys.executable, "-m", "animacy.engine.serve", self._options.dump(), str(self.address)]
        self._log.seek(0)
        self._log.truncate()
        # A session of its own: Ctrl-C is for this process, which then stops the other in order.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True
        )
        deadline = time.monotonic() + _SECONDS_TO_LISTEN
        while not self.address.answers():
            if self.pid is None:
                raise self.ended()
            if time.monotonic() > deadline:
                self._reap()
                raise EngineError(f"the engine process does not listen after {_SECONDS_TO_LISTEN:.0f} s", "try again")
            time.sleep(0.02)
        return self

    def ended(self) -> EngineGoneError:
        """The error that says how it ended, and what it printed last. Waits a moment for its end."""
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_SECONDS_TO_END)
        if code is None:
            return EngineGoneError("the engine process has hung up", "try again")
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").strip().splitlines()[-_LINES:]
        said = "".join(f"\n  | {line}" for line in last)
        return EngineGoneError(f"the engine process {how}{said}", "the next conversation starts it again")

    def close(self) -> None:
        """Stop it and wait for its end. May be called twice."""
        self._reap()
        self._log.close()

    def _reap(self) -> None:
        """Close its standard input, at which it ends; make it end otherwise."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and self.address.path is not None
        process.stdin.close()
        for stop in (process.terminate, process.kill, lambda: None):
            try:
                process.wait(_SECONDS_TO_STOP)
                break
            except subprocess.TimeoutExpired:
                stop()
        shutil.rmtree(self.address.path.parent, ignore_errors=True)  # left behind by one that was killed
