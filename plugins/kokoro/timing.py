"""When each phoneme is heard, known before there is any sound."""

from __future__ import annotations

import numpy as np

from animacy.core.video.phones import Phone, heard
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

    Pauses are spaces, silent ones at both ends included.
    """
    edges = (np.concatenate(([0], np.cumsum(plan.durations))) * FRAME_SECONDS - LEAD).tolist()
    return heard(zip(symbols, edges[1:-2], edges[2:-1], strict=True), _pauses(plan))


def _pauses(plan: Plan) -> list[tuple[float, float]]:
    """Stretches of at least PAUSE_FRAMES in which nothing is heard, in seconds."""
    quiet = np.concatenate(([False], energies(plan) <= QUIET, [False]))
    starts, ends = np.flatnonzero(quiet[1:] & ~quiet[:-1]), np.flatnonzero(~quiet[1:] & quiet[:-1])
    return [
        (start * FRAME_SECONDS, end * FRAME_SECONDS)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        if end - start >= PAUSE_FRAMES
    ]
