"""What a living face does by itself: breathe, blink, look about, hold its head never quite still."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from animacy.core.video.contract import CharacterState


class Wander:
    """Smooth noise of unit size: a few sines of unrelated slow frequencies. Never repeats in practice."""

    def __init__(self, random: np.random.Generator, low: float = 0.05, high: float = 0.45, count: int = 5) -> None:
        self._frequency = np.exp(random.uniform(np.log(low), np.log(high), count)) * 2 * np.pi
        self._phase = random.uniform(0, 2 * np.pi, count)
        size = self._frequency**-0.5  # slower is wider
        self._size = size / np.sqrt((size**2).sum() / 2)

    def at(self, time: float) -> float:
        """Its value at a time in seconds, mostly within -1.5 to 1.5."""
        return float((self._size * np.sin(self._frequency * time + self._phase)).sum()) * 0.7


class Blinks:
    """When the lids are down: every 2 to 6 s, sometimes twice; they close in 2 frames and open in 4."""

    CLOSE, HOLD, OPEN = 0.075, 0.035, 0.17

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._begin = float(random.uniform(0.8, 2.5))
        self._again = False

    def soon(self, time: float) -> None:
        """Blink now, unless one is on its way: people do when they look elsewhere."""
        if self._begin > time + 0.5:
            self._begin = time

    def at(self, time: float) -> float:
        """0 open to 1 closed. Times must not decrease."""
        into = time - self._begin
        if into < 0:
            return 0.0
        if into < self.CLOSE:
            return _smooth(into / self.CLOSE)
        into -= self.CLOSE + self.HOLD
        if into < 0:
            return 1.0
        if into < self.OPEN:
            t = 1 - into / self.OPEN
            return t * t * (1.6 - 0.6 * t)
        self._again = not self._again and self._random.random() < 0.13
        wait = 0.06 if self._again else float(np.clip(self._random.gamma(5.0, 0.75), 1.6, 6.0))
        self._begin = time + wait
        return 0.0


@dataclass(frozen=True, slots=True)
class _Habit:
    """Where the eyes rest in a state: how long (s), how far about the viewer, how often and where aside."""

    dwell: tuple[float, float]
    near: float
    aside: float
    away: tuple[float, float]


_HABITS = {
    CharacterState.LISTENING: _Habit((0.8, 2.6), 0.035, 0.06, (0.12, 0.03)),
    CharacterState.SPEAKING: _Habit((0.6, 2.0), 0.04, 0.22, (0.15, 0.04)),
    CharacterState.THINKING: _Habit((0.9, 2.4), 0.03, 0.8, (0.17, -0.07)),
}


class Gaze:
    """Fixations with quick jumps between them and a tremor within; in eye widths, x right and y down."""

    _JUMP = 0.06

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._from = self._to = np.zeros(2)
        self._begin = 0.0
        self._next = 0.8
        self._side = 1.0
        self._tremor = (Wander(random, 0.7, 3.0, 4), Wander(random, 0.7, 3.0, 4))
        self.jumped = 0.0
        """Length of the jump that began at this call, 0 for none."""

    def at(self, time: float, state: CharacterState) -> tuple[float, float]:
        """The gaze. Times must not decrease."""
        self.jumped = 0.0
        if time >= self._next:
            habit, random = _HABITS[state], self._random
            self._from, self._begin = self._to, time
            goal = random.normal(0, 1, 2) * habit.near * (1, 0.5)
            if random.random() < habit.aside:
                if random.random() < 0.35:
                    self._side = -self._side
                goal = goal + np.array([self._side * habit.away[0], habit.away[1]]) * random.uniform(0.6, 1.15)
            self._to = np.clip(goal, -0.22, 0.22) * (1, 0.6)
            self._next = time + random.uniform(*habit.dwell)
            self.jumped = float(np.linalg.norm(self._to - self._from))
        share = _smooth((time - self._begin) / self._JUMP)
        now = self._from + (self._to - self._from) * share
        return float(now[0]) + 0.004 * self._tremor[0].at(time), float(now[1]) + 0.003 * self._tremor[1].at(time)

    def hurry(self, time: float) -> None:
        """Choose a new fixation soon: the state has changed."""
        self._next = min(self._next, time + 0.15)


class Gesture:
    """A movement that begins, swings and ends: a nod, a beat of the head, a raised brow."""

    def __init__(self, seconds: float, swings: float = 0.5) -> None:
        self._seconds, self._swings = seconds, swings
        self._begin, self._size = -1e9, 0.0

    def start(self, time: float, size: float) -> None:
        """Begin now."""
        self._begin, self._size = time, size

    def at(self, time: float) -> float:
        """Its value: 0 before and after."""
        t = (time - self._begin) / self._seconds
        if not 0 <= t <= 1:
            return 0.0
        envelope = np.sin(np.pi * t**0.8) ** 2 if self._swings <= 0.5 else np.sin(np.pi * t) * (1 - 0.5 * t)
        wave = 1.0 if self._swings <= 0.5 else np.sin(2 * np.pi * self._swings * t)
        return float(self._size * envelope * wave)


class Follower:
    """A value that eases towards its goal without overshoot (critically damped)."""

    def __init__(self, seconds: float, value: float = 0.0) -> None:
        self._rate = 2.0 / seconds
        self.value, self._speed = value, 0.0

    def step(self, goal: float, dt: float) -> float:
        """Move on by dt seconds."""
        decay = float(np.exp(-self._rate * dt))
        away = self.value - goal
        push = (self._speed + self._rate * away) * dt
        self.value = goal + (away + push) * decay
        self._speed = (self._speed - self._rate * push) * decay
        return self.value


def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)
