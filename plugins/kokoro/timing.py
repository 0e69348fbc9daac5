"""When each phoneme is heard, known before there is any sound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from animacy.plugins.kokoro.g2p import MARKS
from animacy.plugins.kokoro.network import FRAME, SAMPLE_RATE, Floats, Plan

FRAME_SECONDS = FRAME / SAMPLE_RATE

LEAD = 0.055
"""Seconds by which Kokoro's sound runs ahead of its own durations.

Measured: where closures and vowels are heard against where the durations put them, the lag that fits best is 50 to
60 ms in all of eight voices.
"""

QUIET = -3.0
"""Energy below which a frame cannot be heard (about -60 dB of full scale)."""

MARGIN = 2
"""Frames kept around what can be heard."""

PAUSE_FRAMES = 4
"""A quiet stretch from this length on is a pause with the mouth at rest; a shorter one is the closure of a plosive."""


class Phone(NamedTuple):
    """A sound as Kokoro writes it, or a space for a pause, with its time in seconds."""

    symbol: str
    start: float
    end: float


def energies(plan: Plan) -> Floats:
    """The energy of every frame, (T,)."""
    energy: Floats = plan.energy.reshape(-1, 2).mean(axis=1)
    return energy


def audible(plan: Plan) -> tuple[int, int]:
    """First and last (exclusive) frame worth decoding: what is heard and a margin. Equal when nothing is heard."""
    heard = np.flatnonzero(energies(plan) > QUIET)
    if not len(heard):
        return 0, 0
    return max(0, int(heard[0]) - MARGIN), min(plan.frames, int(heard[-1]) + 1 + MARGIN)


def phones(symbols: str, plan: Plan) -> list[Phone]:
    """The sounds of `symbols` (one for each inner token of `plan`), from the first frame of the plan on.

    Stress and length marks give their time to their vowel, the short spaces between words to the sound that follows.
    Pauses are spaces, silent ones at both ends included.
    """
    edges = np.concatenate(([0], np.cumsum(plan.durations))) * FRAME_SECONDS - LEAD
    pauses = _pauses(plan)
    found: list[Phone] = []
    pending: float | None = None
    for symbol, start, end in zip(symbols, edges[1:-2], edges[2:-1], strict=True):
        if symbol == "ː" and found:
            found[-1] = found[-1]._replace(end=float(end))
        elif symbol in "ˈˌː" or symbol in MARKS:
            pending = float(start) if pending is None else pending
        else:
            begin, pending = float(start) if pending is None else pending, None
            found.append(Phone(symbol, begin, float(end)))
    heard = [part for phone in found for part in _outside(phone, pauses)]
    return sorted([*heard, *(Phone(" ", low, high) for low, high in pauses)], key=lambda phone: phone.start)


def _pauses(plan: Plan) -> list[tuple[float, float]]:
    """Stretches of at least PAUSE_FRAMES in which nothing is heard, in seconds."""
    quiet = np.concatenate(([False], energies(plan) <= QUIET, [False]))
    starts, ends = np.flatnonzero(quiet[1:] & ~quiet[:-1]), np.flatnonzero(~quiet[1:] & quiet[:-1])
    return [
        (start * FRAME_SECONDS, end * FRAME_SECONDS)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        if end - start >= PAUSE_FRAMES
    ]


def _outside(phone: Phone, pauses: list[tuple[float, float]]) -> list[Phone]:
    """What is left of a sound when the pauses are taken out of it: nothing, or its first audible part."""
    start, end = phone.start, phone.end
    for low, high in pauses:
        if low <= start < high:
            start = high
        if start < low < end:
            end = low
    return [phone._replace(start=start, end=end)] if end - start > 1e-6 else []
