"""The canonical face: its points, triangles and expression shapes, and how it is laid onto a face in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from animacy.core.video.image import Anchors
from animacy.plugins.portrait import topology as topo

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Canonical:
    """points (478, 3), triangles (852, 3), shapes by ARKit name (478, 3).

    The unit is the distance between the outer eye corners; x right, y down, z away from the viewer.
    """

    points: F32
    triangles: I32
    shapes: dict[str, F32]


class EyeSize(NamedTuple):
    """How far an eye's opening reaches from its centre, in pixels."""

    aside: float
    up: float
    down: float


@cache
def canonical() -> Canonical:
    """Read face.npz once."""
    with files(__package__).joinpath("face.npz").open("rb") as file, np.load(file) as stored:
        shapes = {k: stored[k].astype(np.float32) for k in stored.files if k not in ("canonical", "triangles")}
        return Canonical(stored["canonical"], stored["triangles"].astype(np.int32), shapes)


def similarity(points: F32) -> tuple[float, F32]:
    """Scale and rotation (3, 3) that lay the canonical face onto landmarks (478, 3) best (Umeyama 1991)."""
    source = canonical().points[:468]
    a, b = source - source.mean(0), points[:468] - points[:468].mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ flip @ vt
    scale = float((s * np.diag(flip)).sum() / (a**2).sum())
    return scale, np.asarray(rotation, np.float32)


def from_anchors(anchors: Anchors, eye: EyeSize) -> F32:
    """Landmarks (478, 3) in picture pixels for a face whose eyes and mouth corners a person has pointed at.

    The upper half takes its width from the eyes and the lower half from the mouth, for creatures whose eyes are far
    apart; eyes become ovals of the given size.
    """
    marks = np.array([tuple(p) for p in anchors], np.float64)
    eyes, mouth = marks[:2].mean(0), marks[2:].mean(0)
    between = marks[1] - marks[0]
    down = mouth - eyes
    right = between / np.linalg.norm(between)
    model = canonical().points
    model_eyes = np.array([(model[topo.IRIS[k][0]] + model[list(topo.EYE_CORNERS[k])].mean(0)) / 2 for k in (0, 1)])
    model_mouth = model[list(topo.MOUTH_CORNERS)]
    drop = model_mouth[:, 1].mean() - model_eyes[:, 1].mean()
    wide_eyes = np.linalg.norm(between) / (model_eyes[1, 0] - model_eyes[0, 0])
    wide_mouth = np.linalg.norm(marks[3] - marks[2]) / (model_mouth[1, 0] - model_mouth[0, 0])
    t = (model[:, 1] - model_eyes[:, 1].mean()) / drop
    # Around the mouth its own width rules; towards the cheeks the face's.
    near = np.clip(1.25 - np.hypot(model[:, 0] / 0.5, (t - 1) / 0.45), 0, 1)
    near = near * near * (3 - 2 * near)
    wide = wide_eyes + (wide_mouth - wide_eyes) * near
    points = np.empty_like(model)
    points[:, :2] = eyes + model[:, :1] * wide[:, None] * right + t[:, None] * down
    points[:, 2] = model[:, 2] * np.sqrt(wide_eyes * np.linalg.norm(down) / drop)
    for side in (0, 1):
        points = round_eye(points, side, marks[side], eye)
    return points


def round_eye(points: F32, side: int, centre: NDArray[np.float64], eye: EyeSize) -> F32:
    """Move one eye's contour onto an oval, carrying the skin around it along."""
    contour = list(dict.fromkeys(topo.EYE_UPPER[side] + topo.EYE_LOWER[side][::-1]))
    old = points[contour, :2].mean(0)
    moved = points.copy()
    size = float(np.ptp(points[contour, 0])) / 2
    distance = np.linalg.norm(points[:, :2] - old, axis=1)
    fade = np.clip(1 - (distance - size) / (1.6 * size), 0, 1)[:, None]
    moved[:, :2] += (centre - old) * fade
    upper, lower = topo.EYE_UPPER[side], topo.EYE_LOWER[side]
    outward = -1.0 if side == 0 else 1.0
    angles = {**_arc(lower, outward, 1.0), **_arc(upper, outward, -1.0)}
    keys = list(angles)
    turn = np.array([angles[k] for k in keys])
    along = np.where(np.sin(turn) > 0, eye.down, eye.up)
    goal = centre + np.stack([eye.aside * np.cos(turn), along * np.sin(turn)], 1)
    here = moved[keys, :2]
    pull = goal - here
    span = np.linalg.norm(moved[:, None, :2] - here[None], axis=2)
    weight = 1 / (span + 1e-3) ** 3
    carried = (weight[..., None] * pull).sum(1) / weight.sum(1)[:, None]
    reach = np.clip(1.15 - span.min(1) / (1.5 * max(eye.aside, size)), 0, 1)[:, None]
    moved[:, :2] += carried * np.minimum(reach, 1)
    moved[keys, :2] = goal
    rim = topo.IRIS[side]
    radius = 0.7 * min(eye.aside, (eye.up + eye.down) / 2)
    moved[rim[0], :2] = centre
    for k, (x, y) in zip(rim[1:], ((1, 0), (0, -1), (-1, 0), (0, 1)), strict=True):
        moved[k, :2] = centre + radius * np.array([x, y])
    return moved


def _arc(contour: tuple[int, ...], outward: float, down: float) -> dict[int, float]:
    """Angles of a contour's points on a circle, from the outer corner to the inner one."""
    start = 0.0 if outward > 0 else np.pi
    steps = np.linspace(0, np.pi, len(contour))
    turn = down if outward > 0 else -down
    return {k: float(start + turn * s) for k, s in zip(contour, steps, strict=True)}
