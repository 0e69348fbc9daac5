"""The mesh that carries the picture: the face's landmarks, and rings and a grid over the rest of the figure."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.plugins.portrait import topology as topo
from animacy.plugins.portrait.canonical import canonical

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Pixels = NDArray[np.uint8]

FACE = 468
"""Landmarks 0 to 467 are the first vertices; the irises (468 to 477) belong to the eyes."""
_RINGS = (1.07, 1.18, 1.34, 1.55)
"""Scales of the rings about the face's outline; the last is an ellipse, which triangulates cleanly."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """All lengths in frame pixels. n vertices, of which the first 468 are landmarks; m triangles.

    points: (n, 3) at rest. texels: (n, 2) into the texture. triangles: (m, 3), in drawing order. solid: (m,), 1 where
    opaque. head: (n,), 1 where the vertex moves with the skull, 0 for the torso. free: (n,), 0 where the figure is cut
    off by the picture's edge inside the frame and must not move. carry: (n - 468, 36), how the face's outline drags
    the other vertices along. breath: (n,), how much the vertex rises with a breath.
    """

    points: F32
    texels: F32
    triangles: I32
    solid: Pixels
    head: F32
    free: F32
    carry: F32
    breath: F32


def smooth(x: F32) -> F32:
    """The smoothstep of x, clipped to 0..1."""
    t = np.clip(x, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def build(face: F32, texture: Pixels, outside: F32, density: int) -> Mesh:
    """Make the mesh. face: (478, 3) landmarks in the frame. texture: RGBA. outside: distance beyond the picture."""
    height, width = texture.shape[0] // density, texture.shape[1] // density
    alpha = texture[..., 3]
    oval = face[list(topo.OVAL)]
    oval[:, 2] = _around_mean(oval[:, 2], 3)
    chin, top = face[topo.CHIN, :2], face[topo.FOREHEAD, :2]
    tall = float(np.linalg.norm(chin - top))
    around = _surroundings(oval, alpha, density, tall)
    points = np.concatenate([face[:FACE], around]).astype(np.float32)
    points[list(topo.OVAL), 2] = oval[:, 2]
    triangles = np.concatenate([_outer_triangles(around, (width, height)), canonical().triangles, _eye_strips()])
    texels = points[:, :2] * density + (density - 1) / 2
    seen, solid = _coverage(texels, triangles, alpha)
    head = _head_weight(points, alpha, density, chin, tall)
    distance = np.linalg.norm(around[:, None, :2] - oval[None, :, :2], axis=2)
    near = np.exp(-((distance / (0.12 * tall)) ** 2)) + 1e-9
    reach = np.exp(-((distance.min(1) / (0.3 * tall)) ** 2))
    carry = near / near.sum(1, keepdims=True) * reach[:, None]
    rows = np.clip(points[:, 1], 0, height - 1).astype(int) * density
    columns = np.clip(points[:, 0], 0, width - 1).astype(int) * density
    gap = cv2.distanceTransform((outside <= 0).astype(np.uint8), cv2.DIST_L2, 3)[rows, columns] / density
    free = smooth(gap / (0.2 * tall)) if float(outside.max()) > 0 else np.ones(len(points), np.float32)
    free[:FACE] = 1
    below = (points[:, 1] - chin[1]) / tall
    breath = smooth(1 - np.abs(below - 0.65) / 0.9) * (1 - head)
    return Mesh(
        points,
        np.asarray(texels, np.float32),
        np.ascontiguousarray(triangles[seen], dtype=np.int32),
        solid[seen],
        head,
        np.asarray(free, np.float32),
        np.asarray(carry, np.float32),
        np.asarray(breath, np.float32),
    )


def _around_mean(values: F32, half: int) -> F32:
    """Moving average along a closed line. The outline's depth is the model's shakiest guess, and ragged when turned."""
    return np.asarray(np.mean([np.roll(values, k) for k in range(-half, half + 1)], axis=0), np.float32)


def _rings(oval: F32) -> list[F32]:
    """Rings of 36 vertices (36, 3), from the face's outline to an ellipse around it."""
    middle = oval[:, :2].mean(0)
    away = oval[:, :2] - middle
    half = np.abs(away).max(0)
    angle = np.arctan2(away[:, 1] / half[1], away[:, 0] / half[0])
    ellipse = np.stack([np.cos(angle), np.sin(angle)], 1) * half
    rings = []
    for k, scale in enumerate(_RINGS):
        round_ = (k + 1) / len(_RINGS)
        rings.append(np.c_[middle + (away * (1 - round_) + ellipse * round_) * scale, oval[:, 2]])
    return rings


def _surroundings(oval: F32, alpha: Pixels, density: int, tall: float) -> F32:
    """Vertices outside the face: rings about its outline, then a grid where the figure is. Shape (k, 3)."""
    rings = _rings(oval)
    step = max(12.0, tall / 8)
    height, width = alpha.shape[0] / density, alpha.shape[1] / density
    reach = 2 * int(step * density / 2) + 1
    near_figure = cv2.dilate((alpha > 2).astype(np.uint8), np.ones((reach, reach), np.uint8))
    middle = oval[:, :2].mean(0)
    border = (middle + (rings[-1][:, :2] - middle) * 1.08).astype(np.float32)
    back = float(oval[:, 2].mean())
    grid = []
    for y in np.arange(-step, height + 2 * step, step):
        for x in np.arange(-step, width + 2 * step, step):
            row, column = int(np.clip(y, 0, height - 1) * density), int(np.clip(x, 0, width - 1) * density)
            if near_figure[row, column] and cv2.pointPolygonTest(border, (float(x), float(y)), False) < 0:
                grid.append((x, y, back))
    return np.concatenate([*rings, np.array(grid, np.float32).reshape(-1, 3)]).astype(np.float32)


def _outer_triangles(around: F32, size: tuple[int, int]) -> I32:
    """Strips between the face's outline and its rings, then Delaunay triangles to the grid, as vertex numbers."""
    count = len(topo.OVAL)
    found: list[tuple[int, int, int]] = []
    circles = [list(topo.OVAL)] + [[FACE + ring * count + k for k in range(count)] for ring in range(len(_RINGS))]
    for inner, outer in itertools.pairwise(circles):
        for k in range(count):
            j = (k + 1) % count
            found += [(inner[k], outer[k], outer[j]), (inner[k], outer[j], inner[j])]
    first = (len(_RINGS) - 1) * count  # the last ring and the grid
    reach = 4 * max(size)
    plane = cv2.Subdiv2D((-reach, -reach, 3 * reach, 3 * reach))
    corners: dict[tuple[float, float], int] = {}
    for k, (x, y, _) in enumerate(around[first:], start=first):
        vertex = plane.insert((float(x), float(y)))
        corners[tuple(plane.getVertex(vertex)[0])] = FACE + k
    ring_end = FACE + first + count
    for row in plane.getTriangleList():
        a, b, c = (corners.get((float(row[j]), float(row[j + 1])), -1) for j in (0, 2, 4))
        if min(a, b, c) >= 0 and max(a, b, c) >= ring_end:  # the ring is convex: its own triangles lie inside
            found.append((a, b, c))
    return np.array(found, np.int32)


def _eye_strips() -> I32:
    """Triangles across the eye openings: the texture there is drawn anew for every blink and glance."""
    found = []
    for upper, lower in zip(topo.EYE_UPPER, topo.EYE_LOWER, strict=True):
        for k in range(len(upper) - 1):
            a, b, c, d = upper[k], upper[k + 1], lower[k + 1], lower[k]
            found += [t for t in ((a, b, c), (a, c, d)) if len(set(t)) == 3]
    return np.array(found, np.int32)


def _coverage(texels: F32, triangles: I32, alpha: Pixels) -> tuple[NDArray[np.bool_], Pixels]:
    """For each triangle whether anything of the figure is in it, and whether the figure fills it."""
    height, width = alpha.shape
    low = np.floor(texels[triangles].min(1)).astype(int)
    high = np.ceil(texels[triangles].max(1)).astype(int) + 1
    seen, solid = np.zeros(len(triangles), bool), np.zeros(len(triangles), np.uint8)
    for k, ((x0, y0), (x1, y1)) in enumerate(zip(low, high, strict=True)):
        x0, x1 = np.clip((x0, x1), 0, width - 1)
        y0, y1 = np.clip((y0, y1), 0, height - 1)
        part = alpha[y0 : y1 + 1, x0 : x1 + 1]
        seen[k], solid[k] = part.max() > 0, part.min() >= 254
    return seen, solid


def _head_weight(points: F32, alpha: Pixels, density: int, chin: F32, tall: float) -> F32:
    """1 where a vertex follows the skull, falling to 0 down the neck."""
    column = alpha[:, int(np.clip(chin[0] * density, 0, alpha.shape[1] - 1))]
    rows = np.nonzero(column > 128)[0]
    end = (rows.max() / density if len(rows) else chin[1]) - chin[1]
    if end < 0.3 * tall:  # no neck below: the figure is all head
        return np.ones(len(points), np.float32)
    start, span = 0.03 * tall, min(0.6 * tall, end)
    return 1 - smooth((points[:, 1] - chin[1] - start) / (span - start))
