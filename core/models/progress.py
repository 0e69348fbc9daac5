"""Showing a fetch: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LINE_EVERY = 5.0
"""Seconds between two lines when the output is not a terminal."""


def megabytes(size: int) -> str:
    """A number of bytes for people: "1.12 GB", "92.4 MB", "12 kB"."""
    for unit, scale, digits in (("GB", 1e9, 2), ("MB", 1e6, 1), ("kB", 1e3, 0)):
        if size >= scale:
            return f"{size / scale:.{digits}f} {unit}"
    return f"{size} bytes"


class Progress(Protocol):
    """Told what a fetch does. `advance` may be called from any thread."""

    def note(self, text: str) -> None:
        """One line for people."""
        ...

    def begin(self, what: str, total: int | None) -> None:
        """`total` bytes (None: not known) are about to be transferred."""
        ...

    def advance(self, count: int) -> None:
        """`count` more bytes have arrived; negative when some have to come again."""
        ...

    def end(self) -> None:
        """The transfer is over, well or not."""
        ...


class ConsoleProgress:
    """Progress on standard error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console  # every command line would wait for it

        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._lock = threading.Lock()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._total: int | None = None
        self._done = 0
        self._next_line = 0.0

    def note(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False)

    def begin(self, what: str, total: int | None) -> None:
        """Start the bar, or print that the fetch starts."""
        self._total, self._done = total, 0
        self._next_line = time.monotonic() + LINE_EVERY
        if self._console.is_terminal:
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task("fetching", total=total)
        else:
            self.note(f"fetching {what}" + (f" ({megabytes(total)})" if total else ""))

    def advance(self, count: int) -> None:
        """Move the bar, or print a line every few seconds."""
        with self._lock:
            self._done += count
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=self._done)
            elif time.monotonic() >= self._next_line:
                self._next_line = time.monotonic() + LINE_EVERY
                of = f" of {megabytes(self._total)}" if self._total else ""
                self.note(f"  {megabytes(self._done)}{of}")

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None
