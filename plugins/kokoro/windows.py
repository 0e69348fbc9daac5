"""Where a clause is cut for decoding, and how the pieces are joined without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from animacy.plugins.kokoro.network import FRAME, Floats

DECIBELS_PER_ENERGY, DECIBELS_AT_ZERO = 4.33, -51.0
"""Level of a frame (dB of full scale) from its planned energy, fitted on whole decodes of five voices; summed over the
loud frames of a window it is right within about 1 dB."""

LOUD = 4.0
"""Energy from which a frame is loud enough to judge the level by."""

GAIN_LIMITS = (-40.0, 8.0)
"""Decibels of the correction. Far down, for what is planned as near silence comes out as noise when decoded alone."""


PEAK = 0.9
"""Largest sample after the correction; loud voices would be clipped by it otherwise."""


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """Lengths in frames of 25 ms, the last two in samples.

    The first window is short for the sake of the first sound; each later one may be `growth` times as long, for while
    one is heard the next is made, and longer windows waste less on context. A rest shorter than `crumb` goes with the
    window before it: alone it would cost more in context than it saves.
    """

    first: int = 20
    growth: float = 1.6
    longest: int = 100
    search: int = 6
    crumb: int = 14
    context: int = 6
    crossfade: int = 360
    slide: int = 160


def plan_windows(energy: Floats, start: int, end: int, settings: WindowSettings) -> list[tuple[int, int]]:
    """Cut the frames from `start` to `end` into windows whose seams lie where the least sounds.

    `energy` is one value a frame. The windows follow each other without gap; none is empty.
    """
    windows: list[tuple[int, int]] = []
    length = float(settings.first)
    while start < end:
        seam = start + round(length)
        if end - seam < settings.crumb:
            seam = end
        else:
            low = max(start + settings.first // 2, seam - settings.search)
            seam = low + int(np.argmin(energy[low : seam + settings.search]))
        windows.append((start, seam))
        start, length = seam, min(length * settings.growth, settings.longest)
    return windows


def decode_windows(
    decode: Callable[[int, int], Floats],
    windows: list[tuple[int, int]],
    energy: Floats,
    settings: WindowSettings,
) -> Iterator[Floats]:
    """Decode window after window and join them. `energy` is the plan's, one value for each frame of the whole.

    The decoder normalises over what it sees, so that the same word comes out up to 3 dB louder or softer with its
    window. Some context on both sides makes the timbre right, and the planned energy sets the level.

    What sounds in the overlap of two windows has the same pitch but not the same phase, so the later one is slid by up
    to `slide` samples (7 ms) to where it fits best before the crossfade. Every piece is as long as its window, and
    slides are counted from the plan, so they don't add up.
    """
    tail: Floats | None = None
    for start, end in windows:
        first, last = max(0, start - settings.context), min(len(energy), end + settings.context)
        sound = decode(first, last)
        begin = (start - first) * FRAME
        # The context is left out of the judgement: where it is cut off, the decoder may make a loud click.
        sound *= _gain(sound[begin : begin + (end - start) * FRAME], energy[start:end])
        sound = np.pad(sound, (0, settings.slide + settings.crossfade))
        if tail is not None:
            begin += _best_slide(tail, sound, begin, settings.slide)
        finish = begin + (end - start) * FRAME
        piece = sound[begin:finish].copy()
        if tail is not None:
            fade = np.sin(np.linspace(0, np.pi / 2, len(tail), dtype=np.float32)) ** 2
            piece[: len(tail)] = piece[: len(tail)] * fade + tail * (1 - fade)
        tail = sound[finish : finish + settings.crossfade]
        yield piece


def _gain(sound: Floats, energy: Floats) -> float:
    """The factor that brings the loud frames of `sound` to their planned power."""
    loud = energy > min(LOUD, float(np.max(energy)) - 1)
    power = np.mean(np.square(sound.reshape(-1, FRAME)), axis=1)[loud]
    planned = 10 ** ((DECIBELS_PER_ENERGY * energy[loud] + DECIBELS_AT_ZERO) / 10)
    decibels = 10 * np.log10((np.sum(planned) + 1e-9) / (np.sum(power) + 1e-9))
    factor = float(10 ** (np.clip(decibels, *GAIN_LIMITS) / 20))
    return min(factor, PEAK / (float(np.max(np.abs(sound))) + 1e-9))


def _best_slide(tail: Floats, sound: Floats, begin: int, slide: int) -> int:
    """Samples by which to shift the start in `sound` so that it correlates best with `tail`."""
    low = max(0, begin - slide)
    region = sound[low : begin + slide + len(tail)]
    if len(region) < len(tail):
        return 0
    products = np.correlate(region, tail, "valid")
    squares = np.concatenate(([0.0], np.cumsum(np.square(region, dtype=np.float64))))
    energies = squares[len(tail) :] - squares[: -len(tail)]
    return low - begin + int(np.argmax(products / np.sqrt(energies + 1e-9)))
