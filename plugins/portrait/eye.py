"""Eyes: the picture's own eyeball moved by the gaze, and lids of the picture's own skin that slide over it."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from animacy.plugins.portrait import topology as topo
from animacy.plugins.portrait.matte import fill

F32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]


class Eye:
    """One eye, drawn anew into the texture whenever its lid or its gaze moves.

    All lengths are texels. The lid is taken apart by columns: a strip along its edge carries the lashes and moves as
    it is; the skin between the strip and the brow stretches after it, which is how a real lid unfolds.
    """

    def __init__(self, texture: Pixels, face: F32, side: int) -> None:
        """texture: RGBA at rest; face: (478, 2) landmarks in texels; side: 0 for the picture's left eye."""
        upper, lower = face[list(topo.EYE_UPPER[side])], face[list(topo.EYE_LOWER[side])]
        corners = face[list(topo.EYE_CORNERS[side])]
        rim = face[list(topo.IRIS[side])]
        brow = face[list(topo.BROW_LOWER[side])]
        self.width = float(np.linalg.norm(corners[1] - corners[0]))
        opening = float((lower - upper)[:, 1].max())
        above = float(np.clip(upper[:, 1].min() - brow[:, 1].mean(), 0.3 * self.width, 0.8 * self.width))
        left, right = corners[:, 0].min() - 0.2 * self.width, corners[:, 0].max() + 0.2 * self.width
        top = upper[:, 1].min() - above - 2
        bottom = lower[:, 1].max() + 0.45 * self.width
        height, width = texture.shape[:2]
        self.x0, self.y0 = max(0, int(left)), max(0, int(top))
        self.x1, self.y1 = min(width, int(right) + 2), min(height, int(bottom) + 2)
        origin = np.array([self.x0, self.y0], np.float32)
        columns = np.arange(self.x1 - self.x0, dtype=np.float32)
        self._upper = _curve(upper - origin, columns)
        self._lower = np.maximum(_curve(lower - origin, columns), self._upper)
        self._rest = texture[self.y0 : self.y1, self.x0 : self.x1].copy()
        self._lower = _trim(self._rest, self._upper, self._lower, rim - origin)
        self._strip = np.float32(_lash_band(self._rest, self._upper, self._lower, above, self.width))
        self._skin = _lid_skin(self._rest, self._upper, float(self._strip), self.width)
        self._ball = _eyeball(self._rest, self._upper, self._lower, rim - origin, opening)
        self._centre = rim[0] - origin
        self._radius = float(np.linalg.norm(rim[1:] - rim[0], axis=1).mean())
        self._above, self._below = np.float32(above), np.float32(0.32 * self.width)
        self._last = (0.0, 0.0, 0.0)

    def draw(self, texture: Pixels, blink: float, gaze_x: float, gaze_y: float) -> None:
        """blink: 0 as in the picture, 1 closed. gaze: in eye widths."""
        state = (round(blink, 3), round(gaze_x, 3), round(gaze_y, 3))
        if state == self._last:
            return
        self._last = state
        _draw(
            texture[self.y0 : self.y1, self.x0 : self.x1],
            *(self._rest, self._skin, self._ball, self._upper, self._lower),
            *(self._strip, self._above, self._below, np.float32(self.width)),
            *(np.float32(self._centre[0]), np.float32(self._centre[1]), np.float32(self._radius)),
            *(np.float32(blink), np.float32(gaze_x * self.width), np.float32(gaze_y * self.width)),
        )


def _curve(points: F32, columns: F32) -> F32:
    """A contour's y at each column: smooth through its points, level along the eye's axis beyond them."""
    order = np.argsort(points[:, 0], kind="stable")
    x, y = points[order, 0], points[order, 1]
    fine = np.interp(columns, x, y)
    kernel = np.hanning(max(3, int(0.08 * (x[-1] - x[0])) | 1) + 2)[1:-1]
    padded = np.pad(fine, len(kernel) // 2, mode="edge")
    return np.asarray(np.convolve(padded, kernel / kernel.sum(), "valid"), np.float32)


def _pale(colour: F32, upper: F32) -> F32:
    """Where the patch is greyer than the skin above the eye, as eye white is: (h, w), 0 or 1."""
    tint = colour.max(2) - colour.min(2)
    above = int(upper.min()) - 2
    skin = float(np.median(tint[:above])) if above > 3 else 0.0
    return np.asarray(tint < 0.62 * skin, np.float32)


def _trim(rest: Pixels, upper: F32, lower: F32, rim: F32) -> F32:
    """Raise the lower lid to where eye white and iris really end: landmarks take in some of the lid."""
    height, width = rest.shape[:2]
    ys = np.arange(height, dtype=np.float32)[:, None]
    xs = np.arange(width, dtype=np.float32)[None]
    inside = (ys > upper[None]) & (ys < lower[None])
    radius = float(np.linalg.norm(rim[1:] - rim[0], axis=1).mean())
    iris = np.hypot(xs - rim[0, 0], ys - rim[0, 1]) < 1.02 * radius
    pale = _pale(rest[..., :3].astype(np.float32), upper) > 0
    beside = inside & ~iris
    if (pale & beside).sum() < 0.25 * max(beside.sum(), 1):  # no eye white to go by
        return lower
    eye = inside & (pale | iris)
    last = np.where(eye.any(0), height - np.argmax(eye[::-1], axis=0), upper).astype(np.float32)
    opening = (lower - upper).max()
    last = np.clip(last, np.maximum(lower - 0.35 * opening, upper), lower)
    size = max(3, int(0.12 * (upper < lower).sum())) | 1
    smooth = np.convolve(np.pad(last, size // 2, mode="edge"), np.ones(size) / size, "valid")
    return np.asarray(np.clip(smooth, upper, lower), np.float32)


def _lid_skin(rest: Pixels, upper: F32, strip: float, width: float) -> Pixels:
    """The skin above the lashes without lashes and lines: what unfolds when the lid comes down, (h, w, 3)."""
    ys = np.arange(rest.shape[0], dtype=np.float32)[:, None]
    known = (ys < (upper - strip)[None]).astype(np.float32)
    size = max(3, int(0.2 * width)) | 1
    clean = cv2.morphologyEx(rest[..., :3], cv2.MORPH_CLOSE, np.ones((1, size), np.uint8)).astype(np.float32)
    clean = cv2.GaussianBlur(fill(clean, known), (0, 0), 0.06 * width, sigmaY=0.015 * width)
    return np.asarray(np.round(clean), np.uint8)


def _lash_band(rest: Pixels, upper: F32, lower: F32, above: float, width: float) -> float:
    """How thick the dark band of lashes along the upper lid is."""
    grey = rest[..., :3].mean(2)
    columns = np.nonzero(lower - upper > 0.3 * (lower - upper).max())[0]
    thick = []
    for x in columns:
        start = int(upper[x])
        skin = float(np.median(grey[max(0, int(start - above)) : max(1, int(start - 0.4 * above)), x]))
        y = start
        while y > max(0, start - 0.6 * above) and grey[y - 1, x] < 0.62 * skin:
            y -= 1
        thick.append(start - y)
    least = max(3.0, 0.07 * width)
    return float(np.clip(np.percentile(thick, 90) + 0.03 * width, least, 0.6 * above)) if thick else least


def _eyeball(rest: Pixels, upper: F32, lower: F32, rim: F32, opening: float) -> Pixels:
    """The eyeball without lids (h, w, 3)."""
    height, width = rest.shape[:2]
    ys = np.arange(height, dtype=np.float32)[:, None]
    xs = np.arange(width, dtype=np.float32)[None]
    margin = max(1.5, 0.05 * opening)
    known = ((ys > upper[None] + margin) & (ys < lower[None] - 0.6 * margin)).astype(np.float32)
    radius = float(np.linalg.norm(rim[1:] - rim[0], axis=1).mean())
    far = np.hypot(xs - rim[0, 0], ys - rim[0, 1])
    colour = rest[..., :3].astype(np.float32)
    white = known * (far > 1.12 * radius)
    pale = white * _pale(colour, upper)
    if pale.sum() > 0.3 * white.sum():
        white = pale
    if white.sum() < 0.05 * max(known.sum(), 1):
        white = known
    known = np.maximum(known * (far < 1.2 * radius), white)
    ball = fill(colour, np.asarray(cv2.erode(white, np.ones((3, 3), np.uint8)), np.float32))
    # The iris: what a lid hides takes the colours next to it.
    sure = known * (far < 0.97 * radius)
    iris = fill(colour, np.asarray(sure, np.float32)) if sure.sum() > 4 else colour
    rim_known = (known * (far < 1.15 * radius))[..., None]
    iris = colour * rim_known + iris * (1 - rim_known)
    disc = np.clip((1.12 * radius - far) / (0.1 * radius + 1), 0, 1)[..., None]
    ball = ball * (1 - disc) + iris * disc
    keep = cv2.GaussianBlur(known, (0, 0), 1.0)[..., None] * known[..., None]
    ball = np.clip(colour * keep + ball * (1 - keep), 0, 255)
    return np.asarray(np.round(ball), np.uint8)


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba
def _sample(picture: Pixels, x: float, y: float, c: int) -> float:
    height, width = picture.shape[0], picture.shape[1]
    x = min(max(x, 0.0), width - 1.001)
    y = min(max(y, 0.0), height - 1.001)
    i, j = int(x), int(y)
    u, v = x - i, y - j
    top = picture[j, i, c] * (1 - u) + picture[j, i + 1, c] * u
    low = picture[j + 1, i, c] * (1 - u) + picture[j + 1, i + 1, c] * u
    return float(top * (1 - v) + low * v)


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba
def _softplus(x: float) -> float:
    return x if x > 30.0 else float(np.log1p(np.exp(x)))


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba
def _draw(
    out: Pixels,
    rest: Pixels,
    skin: Pixels,
    ball: Pixels,
    upper: F32,
    lower: F32,
    strip: float,
    above: float,
    below: float,
    eye_width: float,
    centre_x: float,
    centre_y: float,
    radius: float,
    blink: float,
    gaze_x: float,
    gaze_y: float,
) -> None:
    height, width = rest.shape[0], rest.shape[1]
    for x in range(width):
        up, low = upper[x], lower[x]
        opening = low - up
        rise = 0.08 * blink * opening
        low_now = low - rise
        drop = blink * (low_now - up)
        edge = up + drop
        is_open = opening > 1.5
        lift = min(1.0, opening / (0.12 * eye_width)) * blink
        # The skin above the lashes: what was folded away unfolds next to them, the fold and the brow stay.
        length = above - strip
        soft = min(0.2 * drop, 0.2 * max(length, 0.0)) + 0.5
        whole = 0.06 * (length + drop) + 0.94 * soft * _softplus(length / soft)
        for y in range(height):
            if y < edge + 0.5:
                far = edge - strip - y
                plain = 0.0  # how much of the lid's plain skin shows instead of the picture's
                if far <= 0 or drop < 0.01:
                    sy = y - drop
                elif far < length + drop:
                    part = 0.06 * far + 0.94 * soft * _softplus((far - drop) / soft)
                    sy = up - strip - part * (length / whole)
                    plain = min(1.0, 0.5 * far) / (1 + np.exp(min((far - drop) / soft, 40.0)))
                else:
                    sy = float(y)
                # a lid is a ball's cover: light on its height, dark along its edge
                light = 1.0
                if lift > 0 and y > up - strip:
                    t = (y - (up - strip)) / max(edge - up + strip, 1.0)
                    light = 1.0 + lift * (0.05 * (4 * t * (1 - t)) - 0.06 * (1 - t) * (1 - t))
                    line = (y - edge + 0.025 * eye_width) / (0.03 * eye_width)
                    light *= 1.0 - 0.4 * lift * np.exp(-line * line)
                cover = min(1.0, edge + 0.5 - y) if is_open and blink < 0.97 else 1.0
                for c in range(3):
                    value = _sample(rest, x, sy, c)
                    if plain > 0:
                        value += (_sample(skin, x, sy, c) - value) * plain
                    value *= light
                    if cover < 1.0:
                        value = value * cover + ball[y, x, c] * (1 - cover)
                    out[y, x, c] = int(min(max(value + 0.5, 0.0), 255.0))
            elif y < low_now:
                away = np.sqrt((x - centre_x) ** 2 + (y - centre_y) ** 2)
                t = min(max((away - 1.25 * radius) / (1.3 * radius), 0.0), 1.0)
                follow = 1 - t * t * (3 - 2 * t)
                sx, sy = x - gaze_x * follow, y - gaze_y * follow
                shadow = 1 - 0.28 * min(1.0, 2.5 * blink) * np.exp(-(y - edge) / (0.08 * eye_width))
                cover = min(1.0, low_now - y)
                for c in range(3):
                    value = _sample(ball, sx, sy, c) * shadow
                    if cover < 1.0:
                        value = value * cover + rest[min(height - 1, int(low) + 1), x, c] * (1 - cover)
                    out[y, x, c] = int(min(max(value + 0.5, 0.0), 255.0))
            else:
                t = (y - low_now) / (below + rise)
                sy = low + t * below if t < 1 else float(y)
                for c in range(3):
                    out[y, x, c] = int(_sample(rest, x, sy, c) + 0.5)
