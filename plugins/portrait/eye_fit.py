"""Eyes of drawings: the landmark model puts human-sized eyes where artists draw larger ones; measure those instead."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.plugins.portrait import topology as topo

F32 = NDArray[np.float32]
Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Opening:
    """An eye's opening: contour goals by landmark number, and the iris, in the coordinates of the face given."""

    contour: dict[int, tuple[float, float]]
    iris: tuple[float, float]
    radius: float


def measure(canvas: F32, face: F32, side: int) -> Opening | None:
    """Measure one eye. canvas: RGB (h, w, 3), 0 to 255; face: (478, 2) in its pixels.

    None when no eye white is found.
    """
    corners = face[list(topo.EYE_CORNERS[side])]
    centre = corners.mean(0)
    width = float(np.linalg.norm(corners[1] - corners[0]))
    reach_x, reach_y = 0.95 * width, 0.95 * width
    reach = np.array([reach_x, reach_y])
    x0, y0 = np.maximum(centre - reach, 0).astype(int)
    x1, y1 = (centre + reach).astype(int)
    patch = np.clip(canvas[y0:y1, x0:x1], 0, 255).astype(np.uint8)
    if min(patch.shape[:2]) < 12:
        return None
    lab = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB).astype(np.float32)
    light, chroma = lab[..., 0], np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)
    local = centre - np.array([x0, y0])
    white = ((light > 200) & (chroma < 14)).astype(np.uint8)
    white &= _near(patch.shape[:2], local, 0.85 * width, 0.85 * width)
    if float(white.sum()) < 0.03 * width * width:
        return None
    hull = np.zeros(white.shape, np.uint8)
    parts = _parts(white, minimum=0.006 * width * width)
    if parts is None:
        return None
    cv2.fillConvexPoly(hull, cv2.convexHull(parts), 1)
    dark = float(light.min()) + 26
    top, bottom = _edges(hull, light, dark, limit=int(0.35 * width))
    found = np.nonzero(bottom > top)[0]
    if len(found) < 0.5 * width:
        return None
    iris, radius = _iris(white, top, bottom, found)
    goals: dict[int, tuple[float, float]] = {}
    for contour, edge in ((topo.EYE_UPPER[side], top), (topo.EYE_LOWER[side], bottom)):
        smooth = _smooth(edge[found].astype(np.float32), len(found) // 12)
        ends = (found[0], found[-1]) if side == 0 else (found[-1], found[0])
        at = ends[0] + (ends[1] - ends[0]) * (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, len(contour))))
        for point, x in zip(contour, at, strict=True):
            goals[point] = (float(x0 + x), float(y0 + np.interp(x, found, smooth)))
    for k in topo.EYE_CORNERS[side]:  # both lids meet there
        x = goals[k][0] - x0
        level = float(np.interp(x, found, (top[found] + bottom[found]) / 2))
        goals[k] = (goals[k][0], y0 + level)
    return Opening(goals, (float(x0 + iris[0]), float(y0 + iris[1])), radius)


def apply(face: F32, side: int, opening: Opening) -> F32:
    """The landmarks (478, 3) with one eye's contour moved to the opening, the skin around it carried along."""
    keys = list(opening.contour)
    here = face[keys, :2]
    goal = np.array([opening.contour[k] for k in keys], np.float32)
    pull = goal - here
    size = float(np.ptp(goal[:, 0])) / 2
    moved = face.copy()
    span = np.linalg.norm(face[:, None, :2] - here[None], axis=2)
    weight = 1 / (span + 1e-2) ** 3
    carried = (weight[..., None] * pull).sum(1) / weight.sum(1)[:, None]
    reach = np.clip(1.1 - span.min(1) / (1.3 * size), 0, 1)[:, None]
    moved[:, :2] += carried * np.minimum(reach, 1)
    moved[keys, :2] = goal
    rim = topo.IRIS[side]
    moved[rim[0], :2] = opening.iris
    for k, (x, y) in zip(rim[1:], ((1, 0), (0, -1), (-1, 0), (0, 1)), strict=True):
        moved[k, :2] = opening.iris[0] + x * opening.radius, opening.iris[1] + y * opening.radius
    return moved


def _near(shape: tuple[int, ...], centre: F32, across: float, along: float) -> Mask:
    mask = np.zeros(shape, np.uint8)
    cv2.ellipse(mask, (int(centre[0]), int(centre[1])), (int(across), int(along)), 0, 0, 360, 1, -1)
    return mask


def _parts(mask: Mask, minimum: float) -> NDArray[np.int32] | None:
    """Points of every part of the mask that is large enough, (n, 1, 2)."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [c for c in contours if cv2.contourArea(c) >= minimum]
    return np.concatenate(large) if large else None


def _edges(hull: Mask, light: F32, dark: float, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per column the opening's top and bottom: the hull's, the top raised to where the dark lash line begins."""
    width = hull.shape[1]
    top, bottom = np.zeros(width, np.int64), np.zeros(width, np.int64)
    for x in range(width):
        rows = np.nonzero(hull[:, x])[0]
        if len(rows) == 0:
            continue
        y = int(rows[0])
        while y > max(1, int(rows[0]) - limit) and light[y - 1, x] > dark:
            y -= 1
        at_lashes = y > 1 and light[y - 1, x] <= dark
        top[x], bottom[x] = (y if at_lashes else int(rows[0])), int(rows[-1]) + 1
    return top, bottom


def _iris(
    white: Mask, top: NDArray[np.int64], bottom: NDArray[np.int64], found: NDArray[np.int64]
) -> tuple[tuple[float, float], float]:
    """Centre and radius of what is not white in the opening."""
    rows = np.arange(white.shape[0])[:, None]
    inside = ((rows >= top[None]) & (rows < bottom[None])).astype(np.uint8)
    rest = cv2.morphologyEx(inside & (1 - white), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rest)
    if count < 2:
        middle = float(found.mean())
        return (middle, float((top[found] + bottom[found]).mean() / 2)), 0.25 * len(found)
    best = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    part = labels == best
    across = part.sum(0)
    columns = np.nonzero(across > 0.35 * across.max())[0]
    radius = (columns[-1] - columns[0] + 1) / 2
    low = np.nonzero(part.any(1))[0][-1]
    return ((columns[0] + columns[-1]) / 2, float(low - radius)), float(radius)


def _smooth(values: F32, half: int) -> F32:
    size = 2 * max(1, half) + 1
    padded = np.pad(values, size // 2, mode="edge")
    return np.asarray(np.convolve(padded, np.ones(size) / size, "valid"), np.float32)
