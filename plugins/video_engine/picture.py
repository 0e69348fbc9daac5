"""Between the sizes of the character's picture, of the engine and of the output: cut to the shape, then scale once."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.core.video.contract import Portrait
from animacy.core.video.image import load_image

Pixels = NDArray[np.uint8]
_BACKGROUND = 128
"""Grey behind the transparent parts of a picture."""


def reference(portrait: Portrait, width: int, height: int) -> Pixels:
    """The character's picture in the engine's size, (height, width, 3), RGB; the face stays if it was pointed out.

    Raises InputError when it cannot be read.
    """
    rgba = load_image(portrait.image)
    alpha = rgba[..., 3:].astype(np.float32) / 255
    opaque = (rgba[..., :3] * alpha + _BACKGROUND * (1 - alpha)).round().astype(np.uint8)
    centre = (0.5, 0.5)
    if portrait.anchors is not None:
        middle = np.mean([tuple(point) for point in portrait.anchors], axis=0)
        centre = (float(middle[0]) / rgba.shape[1], float(middle[1]) / rgba.shape[0])
    return fit(opaque, width, height, centre)


def fit(picture: Pixels, width: int, height: int, centre: tuple[float, float] = (0.5, 0.5)) -> Pixels:
    """Scale (h, w, 3) to fill `width` x `height`, and leave out what is beyond, around a centre given in shares.

    Always returns memory of its own.
    """
    rows, columns = picture.shape[:2]
    scale = max(width / columns, height / rows)
    shown = (min(columns, round(width / scale)), min(rows, round(height / scale)))
    left = _start(columns, shown[0], centre[0])
    top = _start(rows, shown[1], centre[1])
    part = picture[top : top + shown[1], left : left + shown[0]]
    if shown == (width, height):
        return part.copy()
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width, height), interpolation=method), np.uint8)


def _start(size: int, shown: int, centre: float) -> int:
    """Where the shown part begins, so that the centre is in its middle as far as the picture reaches."""
    return min(max(0, round(centre * size - shown / 2)), size - shown)
