"""The mouth of speech: from timed visemes, or from the sound alone when there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from animacy.core.video.contract import Viseme, VisemeShape
from animacy.plugins.portrait.pose import Mouth

F32 = NDArray[np.float32]

CHANNELS = tuple(f.name for f in fields(Mouth))
LIPS, JAW, TUCK, PRESS = (CHANNELS.index(name) for name in ("lips", "jaw", "tuck", "press"))


def _shape(**channels: float) -> F32:
    return np.array([channels.get(name, 0.0) for name in CHANNELS], np.float32)


SHAPES: dict[VisemeShape, F32] = {
    "sil": _shape(),
    "PP": _shape(jaw=0.03, press=0.7),
    "FF": _shape(jaw=0.05, lips=0.75, upper=0.25, tuck=0.9),
    "TH": _shape(jaw=0.15, lips=0.9, upper=0.1, lower=0.15, tongue=0.95),
    "DD": _shape(jaw=0.13, lips=0.85, stretch=0.1, lower=0.2, upper=0.1, tongue=0.7),
    "kk": _shape(jaw=0.23, lips=0.9, stretch=0.08, lower=0.1, tongue=0.2),
    "CH": _shape(jaw=0.1, lips=0.95, funnel=0.65, pucker=0.15, lower=0.15, upper=0.1),
    "SS": _shape(jaw=0.05, lips=0.9, stretch=0.35, lower=0.35, upper=0.2, tongue=0.4),
    "nn": _shape(jaw=0.15, lips=0.85, stretch=0.1, lower=0.15, tongue=0.8),
    "RR": _shape(jaw=0.14, lips=0.9, funnel=0.4, pucker=0.25, tongue=0.3),
    "aa": _shape(jaw=0.58, lips=1.0, lower=0.15, upper=0.15),
    "E": _shape(jaw=0.36, lips=1.0, stretch=0.25, lower=0.15, upper=0.12),
    "I": _shape(jaw=0.2, lips=0.95, stretch=0.5, lower=0.2, upper=0.12),
    "O": _shape(jaw=0.4, lips=1.0, funnel=0.5, pucker=0.35),
    "U": _shape(jaw=0.17, lips=0.95, funnel=0.35, pucker=0.75),
}

# How strongly a sound insists on its shape: lips of labials and rounded vowels do, the tongue's sounds hardly care.
_STRENGTH: dict[VisemeShape, float] = {
    **{"sil": 1.2, "PP": 1.6, "FF": 1.6, "TH": 0.9, "DD": 0.55, "kk": 0.45, "CH": 1.3, "SS": 0.8, "nn": 0.55},
    **{"RR": 0.8, "aa": 1.0, "E": 0.9, "I": 0.9, "O": 1.1, "U": 1.2},
}
_BEFORE, _AFTER = 0.042, 0.05
"""Seconds in which a shape's influence falls to 1/e before and after its sound: felt some 80 to 100 ms ahead."""
_CLOSE_RAMP = 0.05
"""Seconds in which the lips go from open to closed for p, b, m."""
REACH = 0.35
"""Seconds beyond which a viseme has no influence."""


def mouth_at(visemes: Sequence[Viseme], time: float) -> F32:
    """Channels of the mouth at a moment: shapes mixed by dominance (Cohen and Massaro 1993), labials enforced."""
    total = np.zeros(len(CHANNELS), np.float32)
    weight, seal, tuck, nearest = 0.0, 0.0, 0.0, np.inf
    for viseme in visemes:
        ahead, past = viseme.start - time, time - viseme.end
        if ahead > REACH or past > REACH:
            continue
        nearest = min(nearest, max(ahead, past))
        strength = _STRENGTH[viseme.shape]
        away = ahead / _BEFORE if ahead > 0 else past / _AFTER if past > 0 else 0.0
        dominance = strength * float(np.exp(-away))
        # A sound shorter than the lips are quick is not fully reached, and a word's end is no pause.
        length = viseme.end - viseme.start
        dominance *= min(1.0, length / 0.15) if viseme.shape == "sil" else min(1.0, 0.45 + length / 0.09)
        total += dominance * SHAPES[viseme.shape]
        weight += dominance
        outside = max(ahead, past, 0.0)
        if viseme.shape == "PP":
            seal = max(seal, 1 - outside / _CLOSE_RAMP)
        elif viseme.shape == "FF":
            tuck = max(tuck, 1 - outside / _CLOSE_RAMP)
    if weight == 0:
        return total
    # Silence between and outside the sounds pulls too, so that the mouth opens from rest and closes to it.
    if nearest > 0:
        weight += float(min(nearest / 0.1, 4.0))
    mixed = total / weight
    if nearest > 0:
        mixed *= max(0.0, 1 - nearest / (2.2 * _CLOSE_RAMP))
    if tuck > 0:
        mixed = mixed + (SHAPES["FF"] - mixed) * (0.8 * _ease(tuck))
    if seal > 0:
        sealed = _ease(seal)
        mixed[LIPS] *= 1 - sealed
        mixed[JAW] *= 1 - 0.7 * sealed
        mixed[PRESS] = max(float(mixed[PRESS]), 0.7 * sealed)
    return np.asarray(mixed, np.float32)


def _ease(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


class SoundReader:
    """Reads a mouth out of sound: how loud, how bright, hissing or not. Adapts to the speaker's level."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._size = 1 << int(np.ceil(np.log2(sample_rate * 0.04)))
        self._window = np.hanning(self._size).astype(np.float32)
        bands = ((80, 400), (400, 1100), (1100, 2800), (3500, 9000))
        bins = np.fft.rfftfreq(self._size, 1 / sample_rate)
        self._bands = [np.nonzero((bins >= low) & (bins < high))[0] for low, high in bands]
        self.peak = 0.02

    def loudness(self, samples: F32) -> float:
        """0 in silence to 1 at the speaker's loudest; samples are -1 to 1."""
        level = float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
        self.peak = max(level, self.peak * 0.9985, 0.012)
        decibels = 20 * np.log10(max(level, 1e-5) / self.peak)
        return float(np.clip(1 + decibels / 30, 0, 1))

    def mouth(self, samples: F32, loud: float) -> F32:
        """Channels for a stretch of sound of about 40 ms."""
        if loud < 0.12 or len(samples) < 16:
            return SHAPES["sil"].copy()
        padded = np.zeros(self._size, np.float32)
        part = samples[-self._size :]
        padded[: len(part)] = part * self._window[: len(part)]
        power = np.abs(np.fft.rfft(padded)) ** 2
        low, open_, front, hiss = (float(power[b].sum()) + 1e-9 if len(b) else 1e-9 for b in self._bands)
        total = low + open_ + front + hiss
        hissing = float(np.clip((hiss / total - 0.35) / 0.3, 0, 1))
        openness = open_ / (low + open_ + front)
        spread = front / (open_ + front)
        vowel = SHAPES["aa"] * openness + SHAPES["E"] * (1 - openness)
        vowel = vowel + (SHAPES["I"] - vowel) * float(np.clip(spread * 1.4 - 0.25, 0, 0.8))
        rounded = float(np.clip((low / total - 0.86) / 0.14, 0, 0.55))
        vowel = vowel + (SHAPES["U"] - vowel) * rounded
        strength = _ease((loud - 0.12) / 0.6)
        mixed = vowel * (0.2 + 0.95 * strength)
        mixed = mixed + (SHAPES["SS"] - mixed) * hissing
        mixed[LIPS] = max(float(mixed[LIPS]), 0.9) * min(1.0, strength * 2.2)
        return np.asarray(mixed, np.float32)
