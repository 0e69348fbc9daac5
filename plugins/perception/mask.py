"""Which pixels are people: MediaPipe's selfie segmenter."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.core.vision.litert import Network

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

_SIDE = 256


class PeopleMask:
    """Tells people from background. Not safe for use from two threads at once."""

    def __init__(self, model: Path, threads: int = 1) -> None:
        self._network = Network(model.read_bytes(), threads)

    def __call__(self, rgb: Pixels) -> F32:
        """How much each pixel belongs to a person, shape (height, width), 0 to 1."""
        height, width = rgb.shape[:2]
        small = cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        mask = self._network(small[None])[0][0, ..., -1]
        return np.asarray(cv2.resize(np.clip(mask, 0, 1), (width, height)), np.float32)
