"""Log-mel spectra as Whisper computes them (arXiv:2212.04356, openai/whisper `audio.py`), at any sample rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MEL_BINS = 80
"""Bins of all but the latest Whisper models."""
_SIZE_AT_16K = 400
_SECONDS = _SIZE_AT_16K / 16_000
_TOP_HZ = 8_000.0
_FLOOR = -4.0
"""Decimal logarithm of the power that counts as silence."""


class MelSpectrum:
    """The spectrum of 25 ms of sound in `bins` mel bands from 0 to 8 kHz.

    Whisper resamples to 16 kHz first. Here the window has as many samples as 25 ms have, so that its spectral lines are
    those of Whisper's at any rate; those above 8 kHz are left out, which is what resampling would do.

    Whisper raises everything to 80 dB below the loudest moment of 30 s, which is not known yet while speech arrives.
    Here what is below a fixed level is cut off: above it the values are Whisper's (0 to about 1.5), and silence is
    exactly zero.
    """

    def __init__(self, sample_rate: int, bins: int = MEL_BINS) -> None:
        self.size = round(sample_rate * _SECONDS)
        frequencies: F64 = np.fft.rfftfreq(self.size, 1 / sample_rate).astype(np.float64)
        self._lines = int(np.count_nonzero(frequencies <= _TOP_HZ))
        self._filters = mel_filters(frequencies[: self._lines], bins).astype(np.float32)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.size) / self.size)
        self._window = (hann * _SIZE_AT_16K / self.size).astype(np.float32)

    def __call__(self, sound: F32) -> F32:
        """Spectra of (..., size) samples of -1 to 1: (..., bins), 0 in silence."""
        lines = np.fft.rfft(sound * self._window)[..., : self._lines]
        power = (lines.real**2 + lines.imag**2).astype(np.float32) @ self._filters.T
        return np.asarray((np.log10(np.maximum(power, 10**_FLOOR)) - np.float32(_FLOOR)) / 4, np.float32)


def mel_filters(frequencies: F64, bins: int) -> F64:
    """Triangular filters of equal area, (bins, frequencies), spaced on the mel scale of Slaney's Auditory Toolbox."""
    edges = _hertz(np.linspace(0, _mel(_TOP_HZ), bins + 2))
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    heights = 2 / (edges[2:] - edges[:-2])
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * heights[:, None])


_LINEAR_HZ, _HZ_A_MEL, _LOG_STEP = 1_000.0, 200 / 3, np.log(6.4) / 27
"""The scale is linear to 1 kHz and logarithmic from there."""


def _mel(hertz: float) -> float:
    return float(_LINEAR_HZ / _HZ_A_MEL + np.log(hertz / _LINEAR_HZ) / _LOG_STEP)


def _hertz(mel: F64) -> F64:
    linear = _LINEAR_HZ / _HZ_A_MEL
    return np.where(mel < linear, mel * _HZ_A_MEL, _LINEAR_HZ * np.exp(_LOG_STEP * (mel - linear)))
