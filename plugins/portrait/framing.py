"""Where the picture lies in the frame, and what is drawn where it does not reach."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Framing:
    """frame = picture * scale + (x, y), in pixels."""

    scale: float
    x: float
    y: float

    def place(self, points: F32) -> F32:
        """Picture points (n, 2 or 3) as frame points; depth is scaled alike."""
        placed = np.asarray(points, np.float32) * self.scale
        placed[:, :2] += (self.x, self.y)
        return placed


def frame_face(
    size: tuple[int, int],
    output: tuple[int, int],
    centre: tuple[float, float],
    face: float,
    top: float,
    zoom: float = 1.0,
) -> Framing:
    """Choose the framing. size, output: (width, height); the rest in picture pixels.

    centre: of the face; face: its height, forehead to chin; top: the figure's upper end.

    A picture that already suits the frame is kept as its maker composed it. Others are scaled so that the face is
    0.36 to 0.55 of the frame's height, covering the height where that is possible.
    """
    (width, height), (out_width, out_height) = size, output
    cover = max(out_width / width, out_height / height)
    if 0.28 <= face * cover / out_height <= 0.6:
        scale = cover
    else:
        low, high = 0.36 * out_height / face, 0.55 * out_height / face
        scale = float(np.clip(out_height / height, low, high))
    scale *= zoom
    x, y = out_width * 0.5 - centre[0] * scale, out_height * 0.46 - centre[1] * scale
    y = max(y, min(0.04 * out_height - top * scale, 0.12 * out_height - centre[1] * scale + 0.5 * out_height))
    if width * scale >= out_width:
        x = float(np.clip(x, out_width - width * scale, 0))
    if height * scale >= out_height:
        y = float(np.clip(y, out_height - height * scale, 0))
    elif y + height * scale < out_height:
        y = out_height - height * scale  # a cut-off body stands on the frame's lower edge
    return Framing(scale, x, y)


def warp(picture: F32, framing: Framing, output: tuple[int, int], density: int) -> F32:
    """The picture as it lies in the frame, `density` texels a pixel; edges repeat beyond the picture."""
    scale = framing.scale * density
    width, height = output[0] * density, output[1] * density
    shift = (density - 1) / 2  # pixel centres
    matrix = np.array([[scale, 0, framing.x * density + shift], [0, scale, framing.y * density + shift]], np.float32)
    source = picture
    if scale < 0.7:  # warpAffine does not average: shrink first
        small = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        source = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        matrix[0, 0], matrix[1, 1] = scale * picture.shape[1] / small[0], scale * picture.shape[0] / small[1]
    warped = cv2.warpAffine(source, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def beyond(size: tuple[int, int], framing: Framing, output: tuple[int, int], density: int) -> F32:
    """How far each texel lies outside the picture, in frame pixels, 0 inside; shape (height, width)."""
    xs = (np.arange(output[0] * density, dtype=np.float32) + 0.5) / density
    ys = (np.arange(output[1] * density, dtype=np.float32) + 0.5) / density
    left, top = framing.x, framing.y
    right, bottom = left + size[0] * framing.scale, top + size[1] * framing.scale
    dx = np.maximum(np.maximum(left - xs, xs - right), 0)
    dy = np.maximum(np.maximum(top - ys, ys - bottom), 0)
    return np.asarray(np.hypot(dx[None], dy[:, None]), np.float32)


def soften_beyond(canvas: F32, distance: F32, density: int) -> F32:
    """Blur repeated edges more the farther they are from the picture, so that they read as backdrop."""
    if float(distance.max()) <= 0:
        return canvas
    result = canvas
    for reach, sigma in ((4.0, 6.0), (40.0, 24.0), (140.0, 60.0)):
        small = cv2.resize(canvas, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma * density / 4, borderType=cv2.BORDER_REPLICATE)
        blurred = cv2.resize(small, (canvas.shape[1], canvas.shape[0]), interpolation=cv2.INTER_LINEAR)
        weight = np.clip(distance / reach, 0, 1)[..., None]
        result = result * (1 - weight) + blurred * weight
    return np.asarray(result, np.float32)
