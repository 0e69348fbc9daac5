"""How a client plays what arrives: sound is the clock, pictures follow it. Bookkeeping only, nothing waits here."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

KEPT_SECONDS = 60
MAX_BUFFERED = 0.5
"""Seconds of waiting sound above which a client skips ahead to its usual distance, even within a word."""
SLACK = 0.06
"""Seconds above the usual distance from which it does so where nobody speaks."""
LATE = 0.1
"""Seconds behind the sound from which a picture that is shown counts as late."""
VOICED = 300
"""Loudest 16-bit sample from which on a piece of sound is heard as voice."""


@dataclass(slots=True)
class Sound:
    """A piece of sound. Times are seconds: `pts` on the server's time line, the others of the client's clock."""

    pts: float
    seconds: float
    turn: int
    samples: NDArray[np.int16]
    arrived: float
    heard: float | None = None
    dropped: bool = False
    voiced: bool = False

    def __post_init__(self) -> None:
        self.voiced = bool(len(self.samples)) and int(np.abs(self.samples.astype(np.int32)).max()) >= VOICED


@dataclass(slots=True)
class Picture:
    """A frame, still encoded."""

    pts: float
    turn: int
    key: bool
    payload: bytes
    arrived: float
    shown: float | None = None
    dropped: bool = False


@dataclass(slots=True)
class Flush:
    """A cut that is being carried out."""

    turn: int
    at: float
    arrived: float
    silent: float | None = None
    still: float | None = None


@dataclass(slots=True)
class Counts:
    """What became of the pictures, in total."""

    shown: int = 0
    late: int = 0
    dropped: int = 0
    repeated: int = 0


@dataclass(slots=True)
class Playout:
    """Plays sound `distance` seconds after it came and shows the newest picture that is due.

    Call `advance` often (every 10 ms): it is what moves the clock. What was played stays for KEPT_SECONDS.
    """

    fps: float
    distance: float = 0.1
    counts: Counts = field(default_factory=Counts)
    offsets: list[float] = field(default_factory=list)
    longest_gap: float = 0.0
    sounds: deque[Sound] = field(default_factory=deque)
    pictures: deque[Picture] = field(default_factory=deque)
    _flushes: list[Flush] = field(default_factory=list)
    _playhead: float | None = None
    _moved: float = 0.0
    _end: float = 0.0
    _last_shown: Picture | None = None
    _waiting_sounds: deque[Sound] = field(default_factory=deque)
    _waiting_pictures: deque[Picture] = field(default_factory=deque)
    _starved: bool = True
    _cut_before: float = -1.0

    @property
    def playhead(self) -> float | None:
        """The pts that is heard now."""
        return self._playhead

    @property
    def buffered(self) -> float:
        """Seconds of sound that wait."""
        return 0.0 if self._playhead is None else max(0.0, self._end - self._playhead)

    def hear(self, sound: Sound) -> None:
        """Sound has arrived."""
        if self._playhead is None:
            self._playhead = sound.pts
        sound.dropped = sound.pts < self._cut_before
        self._end = max(self._end, sound.pts + sound.seconds)
        self.sounds.append(sound)
        self._waiting_sounds.append(sound)
        _forget(self.sounds, sound.pts)

    def see(self, picture: Picture) -> None:
        """A picture has arrived."""
        picture.dropped = picture.pts < self._cut_before
        self.pictures.append(picture)
        self._waiting_pictures.append(picture)
        _forget(self.pictures, picture.pts)

    def flush(self, turn: int, at: float, now: float) -> None:
        """Drop what has a pts before `at` and was not played yet, also what is still to come of it."""
        self._cut_before = max(self._cut_before, at)
        for sound in self._waiting_sounds:
            sound.dropped = sound.dropped or sound.pts < at
        for picture in self._waiting_pictures:
            picture.dropped = picture.dropped or picture.pts < at
        self._flushes.append(Flush(turn, at, now))

    def advance(self, now: float) -> list[Flush]:
        """Play up to now. Returns the cuts that are done: nothing of them is heard or seen any more."""
        self._move(now)
        if self._playhead is not None:
            self._play(self._playhead, now)
            self._show(self._playhead, now)
        done = [flush for flush in self._flushes if self._is_done(flush, now)]
        self._flushes = [flush for flush in self._flushes if flush not in done]
        return done

    def forget_connection(self) -> None:
        """A new connection of the same session begins: wait for its sound."""
        self._waiting_sounds.clear()
        self._waiting_pictures.clear()
        self._playhead, self._starved = None, True

    def _move(self, now: float) -> None:
        passed, self._moved = now - self._moved, now
        if self._playhead is None:
            return
        if self._starved and self.buffered >= self.distance:
            self._starved = False
        elif not self._starved:
            self._playhead = min(self._playhead + passed, self._end)
            self._starved = self._playhead >= self._end
            if self.buffered > (MAX_BUFFERED if self._speaks_next() else self.distance + SLACK):
                self._playhead = self._end - self.distance

    def _speaks_next(self) -> bool:
        return bool(self._waiting_sounds) and self._waiting_sounds[0].turn != 0

    def _play(self, playhead: float, now: float) -> None:
        while self._waiting_sounds and self._waiting_sounds[0].pts <= playhead and not self._starved:
            sound = self._waiting_sounds.popleft()
            if not sound.dropped:
                sound.heard = now

    def _show(self, playhead: float, now: float) -> None:
        due: list[Picture] = []
        while self._waiting_pictures and self._is_due(self._waiting_pictures[0], playhead):
            due.append(self._waiting_pictures.popleft())
        fresh = [picture for picture in due if not picture.dropped]
        self.counts.dropped += len(due) - min(1, len(fresh))
        if not fresh:
            return
        picture = fresh[-1]
        picture.shown = now
        self.counts.shown += 1
        offset = playhead - picture.pts
        self.counts.late += offset > LATE
        if picture.pts <= playhead:
            self.offsets.append(offset)
        if self._last_shown is not None and self._last_shown.shown is not None:
            gap = now - self._last_shown.shown
            self.longest_gap = max(self.longest_gap, gap)
            self.counts.repeated += max(0, round(gap * self.fps) - 1)
        self._last_shown = picture

    def _is_due(self, picture: Picture, playhead: float) -> bool:
        """Whether a picture may be shown: when its sound is heard, or as it comes while a cut passes by in silence."""
        if picture.dropped or picture.pts <= playhead:
            return True
        return playhead < self._cut_before

    def _is_done(self, flush: Flush, now: float) -> bool:
        if flush.silent is None:
            # What was dropped cannot be heard; this is the first moment after it.
            flush.silent = now
        shown = self._last_shown
        if flush.still is None and (shown is None or shown.pts >= flush.at):
            flush.still = now
        return flush.still is not None


def _forget(kept: deque[Sound] | deque[Picture], newest: float) -> None:
    while kept and kept[0].pts < newest - KEPT_SECONDS:
        kept.popleft()
