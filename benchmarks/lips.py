"""Does the mouth of a film move with its voice? Measured on the picture and the sound as muxed, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from animacy.core.film import read_audio

UPPER_INNER_LIP, LOWER_INNER_LIP = 13, 14
FOREHEAD, CHIN = 10, 152
SAMPLE_RATE = 24_000
MAX_LAG_FRAMES = 8
SMOOTHING_FRAMES = 3
CLOSED = 0.012
"""Inner-lip distance over face height below which a mouth counts as closed."""


@dataclass(frozen=True, slots=True)
class LipSync:
    """Correlation of mouth and voice at the best lag, that lag (ms, positive: the mouth is late), and how open it is.

    `silent_open` is the share of silent frames (0.3 s away from speech) in which the mouth is not closed, compared with
    the mouth of the picture at rest.
    """

    correlation: float
    lag_ms: float
    speaking_opening: float
    silent_opening: float
    silent_open: float


class MouthWatch:
    """Follows the mouth of one face through pictures, by landmarks."""

    def __init__(self) -> None:
        from animacy.core.models import packaged
        from animacy.plugins.portrait.landmarks import FaceLandmarker

        self._landmarker = FaceLandmarker(packaged("face-landmarker").ensure())
        self._points: NDArray[np.float32] | None = None

    def opening(self, rgb: NDArray[np.uint8]) -> float:
        """Inner-lip distance over face height. Raises ValueError when there is no face."""
        from animacy.plugins.portrait.landmarks import box_of

        points = self._points
        face = self._landmarker.find(rgb) if points is None else self._landmarker.mesh(rgb, box_of(points, 1.0))
        if face is None:
            raise ValueError("no face found")
        self._points = points = face.points
        lips = np.linalg.norm(points[UPPER_INNER_LIP, :2] - points[LOWER_INNER_LIP, :2])
        return float(lips / np.linalg.norm(points[FOREHEAD, :2] - points[CHIN, :2]))


def mouth_track(film: Path) -> tuple[NDArray[np.float64], float]:
    """How open the mouth is in every frame of a film; and its frame rate."""
    watch = MouthWatch()
    with av.open(str(film)) as container:
        rate = float(container.streams.video[0].average_rate or 0)
        openings = [watch.opening(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return np.array(openings), rate


def envelope(film: Path, rate: float, frames: int) -> NDArray[np.float64]:
    """Loudness of the character's voice in each frame's slot (RMS, 0 to 1)."""
    samples = read_audio(film, SAMPLE_RATE).astype(np.float64) / 32768
    size = round(SAMPLE_RATE / rate)
    padded = np.zeros(frames * size)
    padded[: min(len(samples), len(padded))] = samples[: len(padded)]
    return np.sqrt((padded.reshape(frames, size) ** 2).mean(1))


def measure(film: Path) -> LipSync:
    """Compare the mouth with the voice over the whole film."""
    mouth, rate = mouth_track(film)
    loud = envelope(film, rate, len(mouth))
    speech = np.convolve(loud > 0.01, np.ones(round(0.6 * rate) + 1), "same") > 0
    voiced = _smooth(np.sqrt(loud))
    moving = _smooth(mouth)
    best, lag = _best_lag(moving, voiced, speech)
    quiet = ~speech
    rest = float(np.median(mouth[quiet])) if quiet.any() else 0.0
    return LipSync(
        correlation=best,
        lag_ms=1000 * lag / rate,
        speaking_opening=float(np.percentile(mouth[speech], 90)) if speech.any() else 0.0,
        silent_opening=rest,
        silent_open=float((mouth[quiet] > max(CLOSED, rest + CLOSED)).mean()) if quiet.any() else 0.0,
    )


def _smooth(track: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.convolve(
        np.pad(track, SMOOTHING_FRAMES // 2, "edge"), np.ones(SMOOTHING_FRAMES) / SMOOTHING_FRAMES, "valid"
    )


def _best_lag(mouth: NDArray[np.float64], voice: NDArray[np.float64], speech: NDArray[np.bool_]) -> tuple[float, float]:
    """Highest correlation within speech, and by how many frames (fractions by a parabola) the mouth is late."""
    where = np.flatnonzero(speech)
    where = where[(where >= MAX_LAG_FRAMES) & (where < len(mouth) - MAX_LAG_FRAMES)]
    lags = np.arange(-MAX_LAG_FRAMES, MAX_LAG_FRAMES + 1)
    scores = np.array([np.corrcoef(mouth[where + lag], voice[where])[0, 1] for lag in lags])
    top = int(np.argmax(scores))
    shift = 0.0
    if 0 < top < len(lags) - 1:
        left, middle, right = scores[top - 1 : top + 2]
        curve = left - 2 * middle + right
        shift = 0.5 * (left - right) / curve if curve else 0.0
    return float(scores[top]), float(lags[top] + shift)
