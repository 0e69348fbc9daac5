"""One pose, one frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from animacy.plugins.portrait import mouth
from animacy.plugins.portrait import topology as topo
from animacy.plugins.portrait.canonical import canonical
from animacy.plugins.portrait.eye import Eye
from animacy.plugins.portrait.mesh import FACE
from animacy.plugins.portrait.pose import Mouth, Pose
from animacy.plugins.portrait.raster import draw_mesh, packed
from animacy.plugins.portrait.scene import DENSITY, Scene

F32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_BOTH = ("Left", "Right")


def _weights(pose: Pose) -> dict[str, float]:
    """A pose as weights of the canonical expression shapes."""
    m = pose.mouth
    values = {
        "jawOpen": m.jaw + 0.02 * m.tuck,
        "mouthFunnel": m.funnel,
        "mouthPucker": m.pucker,
        "mouthRollUpper": 0.5 * m.press,
        "mouthRollLower": 0.5 * m.press + 0.7 * m.tuck,
        "mouthShrugLower": 0.2 * m.press + 0.3 * m.tuck,
        "browInnerUp": pose.brow_inner,
    }
    sides = {
        "mouthStretch": m.stretch,
        "mouthUpperUp": m.upper,
        "mouthLowerDown": m.lower,
        "mouthSmile": pose.smile,
        "mouthPress": 0.4 * m.press,
        "browOuterUp": pose.brow_outer,
        "browDown": pose.brow_down,
        "cheekSquint": pose.squint + 0.4 * pose.smile,
        "eyeSquint": pose.squint,
        "noseSneer": 0.1 * m.upper,
    }
    return values | {name + side: value for name, value in sides.items() for side in _BOTH}


class Painter:
    """Draws poses of one scene. Not safe for two threads at once."""

    def __init__(self, scene: Scene, mouth_open: float = 1.0) -> None:
        self._scene = scene
        self._mouth_open = mouth_open
        self._texture = scene.texture.copy()
        self._packed = packed(self._texture)
        flat = scene.face[:, :2] * DENSITY + (DENSITY - 1) / 2
        self._eyes = [Eye(scene.texture, flat, side) for side in (0, 1)]
        names = list(_weights(Pose(Mouth())))
        shapes = np.stack([canonical().shapes[name][:FACE] for name in names])
        across, tall = scene.stretch
        shapes = shapes * np.array([across, tall, across], np.float32)
        brows = [k for k, name in enumerate(names) if name.startswith(("brow", "eye", "cheek"))]
        shapes[brows] /= np.array([across, tall, across], np.float32)
        shapes[[k for k, name in enumerate(names) if name.startswith("brow")]] *= scene.likeness
        if scene.likeness < 1:
            shapes[[k for k, name in enumerate(names) if "Squint" in name]] = 0
        self._names = names
        # Round eyes without white about the iris have less room to look aside.
        self._glance = 1.0 if scene.likeness > 0.5 else 0.6
        self._shapes = (shapes @ (scene.rotation.T * scene.scale)).reshape(len(names), -1).astype(np.float32)
        face = scene.face
        self._tall = float(np.linalg.norm(face[topo.FOREHEAD, :2] - face[topo.CHIN, :2]))
        # The skull turns about the top of the neck, behind the chin.
        oval = face[list(topo.OVAL)]
        self._pivot = np.array(
            [oval[:, 0].mean(), face[topo.CHIN, 1] - 0.05 * self._tall, oval[:, 2].mean() + 0.15 * self._tall],
            np.float32,
        )
        self._upper, self._lower = list(topo.LIP_UPPER_INNER), list(topo.LIP_LOWER_INNER)
        self._rest_gap = face[self._lower] - face[self._upper]
        self._wide = float(np.linalg.norm(face[308, :2] - face[78, :2]))
        self._lip_falloff = self._skin_near_lips()

    def _skin_near_lips(self) -> F32:
        """How much skin just outside the lips goes along when the lips are drawn together: (468, 11) per column."""
        face = self._scene.face[:FACE]
        weights = np.zeros((2, FACE, 11), np.float32)
        lips = {k for rings in (topo.LIP_UPPER_RINGS, topo.LIP_LOWER_RINGS) for ring in rings for k in ring}
        for side, rings in enumerate((topo.LIP_UPPER_RINGS, topo.LIP_LOWER_RINGS)):
            edge = face[list(rings[0]), :2]
            distance = np.linalg.norm(face[:, None, :2] - edge[None], axis=2) / self._wide
            near = np.exp(-((distance / 0.12) ** 2))
            middle = face[13, 1] if side == 0 else face[14, 1]
            near *= ((face[:, 1] < middle) if side == 0 else (face[:, 1] > middle))[:, None]
            near = near / np.maximum(near.sum(1, keepdims=True), 1) * 0.45
            near[list(lips)] = 0
            for depth, ring in enumerate(rings):
                for column, point in enumerate(ring):
                    weights[side, point] = 0
                    if 0 < column < 10:
                        weights[side, point, column] = (0.5, 0.72, 0.9, 1.0)[depth]
            others = [k for k in lips if not any(k in ring for ring in rings)]
            near[others] = 0
            rest = [k for k in range(FACE) if k not in lips]
            weights[side, rest] = near[rest]
        return weights

    def draw(self, pose: Pose) -> Pixels:
        """A new frame (h, w, 3)."""
        scene = self._scene
        frame = scene.plate.copy()
        for eye, blink in zip(self._eyes, (pose.blink_left, pose.blink_right), strict=True):
            eye.draw(self._texture, blink, pose.gaze_x * self._glance, pose.gaze_y * self._glance)
        bent = self._bend(pose)
        points = self._turn(bent, pose)
        draw_mesh(frame, self._packed, points, scene.mesh.texels, scene.mesh.triangles, scene.mesh.solid)
        if pose.mouth.lips > 0.01:
            contour = np.concatenate([points[self._upper], points[self._lower][-2:0:-1]])
            mouth.draw(frame, contour, self._place(bent, pose), scene.colours, scene.teeth)
        return frame

    def _bend(self, pose: Pose) -> F32:
        """All vertices (n, 3) with the face's expression, the skull still at rest."""
        scene = self._scene
        weights = _weights(pose)
        row = np.array([weights[name] for name in self._names], np.float32)
        row[0] *= self._mouth_open
        moved = (row @ self._shapes).reshape(FACE, 3)
        face = scene.mesh.points[:FACE] + moved
        gap = face[self._lower] - face[self._upper]
        made = gap - self._rest_gap
        made[:, 1] = np.maximum(made[:, 1], 0)
        lips = min(max(pose.mouth.lips, 0.0), 1.0)
        surplus = gap - lips * (made + 0.35 * self._rest_gap)
        face += 0.35 * (self._lip_falloff[0] @ surplus) - 0.65 * (self._lip_falloff[1] @ surplus)
        around = scene.mesh.points[FACE:] + scene.mesh.carry @ (face - scene.mesh.points[:FACE])[list(topo.OVAL)]
        return np.concatenate([face, around])

    def _skull(self, points: F32, pose: Pose) -> F32:
        """Points (n, 3) on the skull as it is turned and shifted, (n, 2)."""
        about = points - self._pivot
        turned = about @ _rotation(pose.yaw, pose.pitch, pose.roll).T
        depth = 6.0 * self._tall  # the camera's distance
        turned[:, :2] *= ((depth + about[:, 2]) / (depth + turned[:, 2]))[:, None]
        shift = np.array([pose.shift_x, pose.shift_y - 0.006 * pose.breath], np.float32) * self._tall
        return np.asarray(turned[:, :2] + self._pivot[:2] + shift, np.float32)

    def _turn(self, bent: F32, pose: Pose) -> F32:
        """Vertices in the frame (n, 2) after head and body motion."""
        mesh = self._scene.mesh
        head = mesh.head[:, None]
        body = np.array([0.3 * pose.shift_x, 0.3 * pose.shift_y], np.float32) * self._tall * (1 - head)
        body[:, 1] -= 0.014 * self._tall * pose.breath * mesh.breath
        offset = (self._skull(bent, pose) - bent[:, :2]) * head + body
        return np.ascontiguousarray(bent[:, :2] + offset * mesh.free[:, None], dtype=np.float32)

    def _place(self, bent: F32, pose: Pose) -> mouth.Place:
        face, wide = self._scene.face, self._wide
        across = (face[308] - face[78]) / wide
        middle = (face[13] + face[14]) / 2 + np.array([0, 0, 0.1 * wide], np.float32)
        down = np.array([-across[1], across[0], 0.0], np.float32)
        skull = self._skull(np.stack([middle, middle + across * wide, middle + down * wide]), pose)
        jaw = float((bent[17] - face[17])[:2] @ down[:2]) / wide
        return mouth.Place(
            (float(skull[0, 0]), float(skull[0, 1])),
            (float(skull[1, 0] - skull[0, 0]), float(skull[1, 1] - skull[0, 1])),
            (float(skull[2, 0] - skull[0, 0]), float(skull[2, 1] - skull[0, 1])),
            max(0.0, jaw),
            pose.mouth.tongue,
            min(1.0, pose.mouth.funnel + 0.6 * pose.mouth.pucker),
        )


def _rotation(yaw: float, pitch: float, roll: float) -> F32:
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    # z points away from the viewer: turning right brings the nose (small z) to larger x
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, np.float32)
