"""The inside of the mouth: teeth fixed to the skull, lower teeth and tongue on the jaw, the dark between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]

Teeth = Literal["natural", "simple", "none"]
_STYLES: dict[Teeth, int] = {"natural": 2, "simple": 1, "none": 0}


@dataclass(frozen=True, slots=True)
class Palette:
    """RGB colours 0 to 255 of the inside of the mouth, in the picture's light."""

    dark: tuple[float, float, float]
    tongue: tuple[float, float, float]
    teeth: tuple[float, float, float]


def palette(lips: F32, light: F32) -> Palette:
    """Tint the mouth like the picture. lips: the lips' colour; light: the colour of bright skin or eye white."""
    level = float(np.clip(light.mean() / 235, 0.35, 1.0))
    flesh = np.array([168, 74, 72], np.float32) * 0.65 + lips * 0.35
    tint = light / max(float(light.mean()), 1)
    tint = 1 + 0.35 * (tint - 1)
    dark = np.array([46, 17, 17], np.float32) * 0.75 + lips * 0.06
    teeth = np.array([228, 220, 208], np.float32) * tint

    def lit(colour: F32) -> tuple[float, float, float]:
        red, green, blue = np.clip(colour * level, 0, 255).tolist()
        return red, green, blue

    return Palette(lit(dark), lit(flesh), lit(teeth))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the mouth is in this frame, all in frame pixels.

    origin: the resting lip line's middle on the skull. right, down: the skull's axes, each one mouth width long. jaw:
    how far the lower jaw has moved down, in mouth widths. tongue: 0 lying, 1 at the upper teeth. rounded: how far the
    lips stand out before the teeth.
    """

    origin: tuple[float, float]
    right: tuple[float, float]
    down: tuple[float, float]
    jaw: float
    tongue: float
    rounded: float = 0.0


def draw(frame: Pixels, contour: F32, place: Place, colours: Palette, teeth: Teeth) -> None:
    """Draw the inside over the frame within the inner lips. contour: (n, 2) frame pixels, a closed line."""
    height, width = frame.shape[:2]
    line = _rounded(contour)
    size = float(np.hypot(*place.right))
    pad = max(3, int(0.08 * size))
    x0, y0 = np.maximum(np.floor(line.min(0)).astype(int) - pad, 0)
    x1, y1 = np.minimum(np.ceil(line.max(0)).astype(int) + pad + 1, (width, height))
    if x1 - x0 < 3 or y1 - y0 < 3:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [np.round((line - (x0, y0)) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(mask, (3, 3), 0.6)
    # Lips shade what is behind them, the upper one more: light comes from above.
    sigma = max(0.8, 0.03 * size)
    shadow = cv2.GaussianBlur(mask, (0, 0), sigma)
    lift = np.array([[1, 0, 0], [0, 1, 0.7 * sigma]], np.float32)
    shadow = cv2.warpAffine(shadow, lift, (mask.shape[1], mask.shape[0]))
    r, d = place.right, place.down
    determinant = r[0] * d[1] - d[0] * r[1]
    inverse = np.array([[d[1], -d[0]], [-r[1], r[0]]], np.float32) / determinant
    offset = np.array([x0 - place.origin[0], y0 - place.origin[1]], np.float32)
    _paint(
        *(frame[y0:y1, x0:x1], soft, shadow, inverse, offset),
        *(
            np.float32(place.jaw),
            np.float32(place.tongue),
            np.float32(place.rounded),
            np.float32(1.2 / size),
            _STYLES[teeth],
        ),
        *(np.array(c, np.float32) for c in (colours.dark, colours.tongue, colours.teeth)),
    )


def _rounded(contour: F32) -> F32:
    """A closed Catmull-Rom spline through the contour, four points a span."""
    before, after, beyond = np.roll(contour, 1, 0), np.roll(contour, -1, 0), np.roll(contour, -2, 0)
    slope, bend = after - before, 2 * before - 5 * contour + 4 * after - beyond
    twist = 3 * contour - before - 3 * after + beyond
    parts = [contour + 0.5 * (slope * t + bend * t**2 + twist * t**3) for t in (0.0, 0.25, 0.5, 0.75)]
    return np.asarray(np.stack(parts, 1).reshape(-1, 2), np.float32)


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba
def _step(edge: float, x: float, soft: float) -> float:
    """0 below the edge, 1 above it, smooth within `soft`."""
    t = min(max((x - edge) / (2 * soft) + 0.5, 0.0), 1.0)
    return t * t * (3 - 2 * t)


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba
def _gap(u: float, upper: bool) -> float:
    """How near u (mouth widths from the middle) is to a gap between teeth: 1 on it, 0 away from it."""
    a = abs(u)
    nearest = 1.0
    if upper:
        for at in (0.0, 0.125, 0.222, 0.315, 0.395):
            nearest = min(nearest, abs(a - at))
    else:
        for at in (0.0, 0.078, 0.16, 0.25, 0.34):
            nearest = min(nearest, abs(a - at))
    return float(np.exp(-((nearest / 0.011) ** 2)))


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba
def _paint(
    out: Pixels,
    mask: Pixels,
    shadow: Pixels,
    inverse: F32,
    offset: F32,
    jaw: float,
    tongue: float,
    rounded: float,
    soft: float,
    style: int,
    dark: F32,
    flesh: F32,
    ivory: F32,
) -> None:
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            if mask[y, x] == 0:
                continue
            px, py = x + offset[0], y + offset[1]
            u = inverse[0, 0] * px + inverse[0, 1] * py
            v = inverse[1, 0] * px + inverse[1, 1] * py
            light = min(max((shadow[y, x] / 255.0 - 0.1) / 0.7, 0.0), 1.0)
            # depth: the throat is darkest in the middle
            middle = np.exp(-((u / 0.36) ** 2) - ((v - 0.5 * jaw) / (0.25 + 0.5 * jaw)) ** 2)
            r, g, b = dark[0], dark[1], dark[2]
            wall = 1.35 - 0.75 * middle
            r, g, b = r * wall, g * wall, b * wall
            # tongue: a mound on the floor of the jaw, with a faint furrow
            ceiling = 0.03 + jaw * (0.62 - 0.5 * tongue)
            mound = ceiling + 1.1 * u * u
            t = _step(mound, v, 3 * soft + 0.02) * _step(-0.36, -abs(u), 0.05)
            if t > 0:
                deep = min(max((v - mound) / 0.22, 0.0), 1.0)
                lit = (0.5 + 0.4 * deep) * (1 - 0.12 * np.exp(-((u / 0.02) ** 2))) * (1 - 0.9 * u * u)
                r += (flesh[0] * lit - r) * t
                g += (flesh[1] * lit - g) * t
                b += (flesh[2] * lit - b) * t
            if style > 0:
                # lower teeth: ride on the jaw, behind the lower lip
                gap = _gap(u, False) if style == 2 else 0.0
                top = jaw - 0.02 + 0.08 * rounded + 0.25 * u * u + 0.01 * gap
                t = _step(top, v, soft) * _step(-0.33, -abs(u), 0.03)
                if t > 0:
                    lit = (
                        (0.78 - (0.9 if style == 2 else 0.2) * u * u)
                        * (1 - 0.15 * gap)
                        * (1 - 0.5 * min(max((v - top) / 0.2, 0.0), 1.0))
                    )
                    r += (ivory[0] * lit - r) * t
                    g += (ivory[1] * lit - g) * t
                    b += (ivory[2] * lit - b) * t
                # upper teeth: fixed to the skull; their edge follows the smile's curve
                gap = _gap(u, True) if style == 2 else 0.0
                bottom = 0.08 - 0.1 * rounded - 0.42 * u * u - 0.012 * gap
                if style == 2 and 0.125 < abs(u) < 0.222:
                    bottom -= 0.008
                t = _step(-bottom, -v, soft) * _step(-0.43, -abs(u), 0.03)
                if t > 0:
                    lit = (1.0 - (1.3 if style == 2 else 0.3) * u * u) * (1 - 0.13 * gap)
                    if style == 2:
                        lit *= 1 - 0.3 * min(max((0.03 - v) / 0.12, 0.0), 1.0)
                    r += (ivory[0] * lit - r) * t
                    g += (ivory[1] * lit - g) * t
                    b += (ivory[2] * lit - b) * t
            dim = 0.4 + 0.6 * light if style == 2 else 0.85 + 0.15 * light
            cover = mask[y, x] / 255.0
            out[y, x, 0] = int(min(max(out[y, x, 0] * (1 - cover) + r * dim * cover + 0.5, 0.0), 255.0))
            out[y, x, 1] = int(min(max(out[y, x, 1] * (1 - cover) + g * dim * cover + 0.5, 0.0), 255.0))
            out[y, x, 2] = int(min(max(out[y, x, 2] * (1 - cover) + b * dim * cover + 0.5, 0.0), 255.0))
