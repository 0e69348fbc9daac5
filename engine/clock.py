"""When work was done, on the device that did it: marks in the order of a stream, and one time line for all of them."""

from __future__ import annotations

import time

import torch


class Mark:
    """A point in the work of a stream, or in the host's where there is no stream."""

    def __init__(self, event: torch.cuda.Event | None) -> None:
        self._event = event
        self._time = time.perf_counter()

    def wait(self) -> None:
        """Let the host wait for it, without spinning on a core."""
        if self._event is not None:
            self._event.synchronize()

    def hold(self, stream: torch.cuda.Stream | None) -> None:
        """Let what is enqueued on `stream` from now on wait for it; the host goes on."""
        if self._event is not None and stream is not None:
            stream.wait_event(self._event)

    def since(self, other: Mark) -> float:
        """Milliseconds after `other`; both must have passed. Across devices it is as exact as their epochs."""
        if self._event is None or other._event is None:
            return 1000 * (self._time - other._time)
        return other._event.elapsed_time(self._event)


class Clock:
    """Makes marks, and knows on each device when the time line began."""

    def __init__(self) -> None:
        self._epochs: dict[torch.device | None, Mark] = {}

    def mark(self, stream: torch.cuda.Stream | None) -> Mark:
        """A mark after all that has been enqueued on `stream` so far."""
        if stream is None:
            return Mark(None)
        event = torch.cuda.Event(enable_timing=True, blocking=True)
        event.record(stream)
        return Mark(event)

    def begin(self, streams: list[torch.cuda.Stream | None]) -> None:
        """Start the time line, on idle devices."""
        for stream in streams:
            if stream is not None:
                stream.synchronize()
        for stream in streams:
            self._epochs[None if stream is None else stream.device] = self.mark(stream)

    def at(self, mark: Mark, stream: torch.cuda.Stream | None) -> float:
        """Milliseconds of a mark on `stream` since the time line began."""
        return mark.since(self._epochs[None if stream is None else stream.device])
