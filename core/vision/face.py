"""Faces of a picture: MediaPipe's face landmarker, run with LiteRT alone."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.core.vision.crop import Box, cut, distinct, squares
from animacy.core.vision.litert import Network

__all__ = ["BLENDSHAPES", "Box", "Face", "FaceLandmarker", "box_of"]

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

MIN_SCORE = 0.5
"""Below this the detector's boxes are as often a wheel or a flower as a face."""

# The 146 points that the blendshape model reads, in its order (MediaPipe, face_blendshapes_graph.cc).
_BLENDSHAPE_POINTS = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80),
    *(81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153),
    *(154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249),
    *(251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314),
    *(317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382),
    *(384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, *range(468, 478)),
)
BLENDSHAPES = (
    *("_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff"),
    *("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen"),
    *("jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight"),
    *("mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight"),
    *("mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft"),
    *("mouthUpperUpRight", "noseSneerLeft", "noseSneerRight"),
)


@dataclass(frozen=True, slots=True)
class Face:
    """One face: points (478, 3) in pixels (z grows away from the viewer), blendshapes by ARKit name, 0 to 1."""

    points: F32
    blendshapes: dict[str, float]
    score: float


def _sigmoid(x: F32) -> F32:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))), np.float32)


class FaceLandmarker:
    """Finds the most evident face of a picture. Not safe for use from two threads at once."""

    def __init__(self, task: Path, threads: int = 1) -> None:
        with zipfile.ZipFile(task) as parts:
            names = ("face_detector", "face_landmarks_detector", "face_blendshapes")
            self._networks = {name: Network(parts.read(f"{name}.tflite"), threads) for name in names}
        cells = ((16, 2), (8, 6))
        self._centres = np.array(
            [((x + 0.5) / n, (y + 0.5) / n) for n, k in cells for y in range(n) for x in range(n) for _ in range(k)],
            np.float32,
        )

    def detect(self, rgb: Pixels, x: float, y: float, side: float) -> Box:
        """The best box within one square of the picture."""
        boxes, scores, back = self._detections(rgb, x, y, side)
        k = int(scores.argmax())
        return self._box(boxes[k], k, float(scores[k]), side, back)

    def _detections(self, rgb: Pixels, x: float, y: float, side: float) -> tuple[F32, F32, F32]:
        """Raw boxes (896, 16), their scores, and the matrix from the square's pixels to the picture's."""
        crop, back = cut(rgb, x, y, side, 0.0, 128, cv2.BORDER_REPLICATE)
        boxes, scores = self._networks["face_detector"]((crop.astype(np.float32) / 127.5 - 1)[None])
        if boxes.shape[-1] != 16:
            boxes, scores = scores, boxes
        return boxes[0], _sigmoid(scores[0, :, 0]), back

    def _box(self, raw: F32, anchor: int, score: float, side: float, back: F32) -> Box:
        box = raw / 128
        points = (np.concatenate([box[:2], box[4:8]]).reshape(3, 2) + self._centres[anchor]) * 128
        points = points @ back[:, :2].T + back[:, 2]
        eyes = points[2] - points[1]
        width = float(box[2:4].max()) * side
        roll = float(np.arctan2(eyes[1], eyes[0]))
        return Box(float(points[0, 0]), float(points[0, 1]), width * 1.5, roll, score)

    def mesh(self, rgb: Pixels, box: Box) -> Face:
        """The 478 points of the face in a box."""
        crop, back = cut(rgb, box.x, box.y, box.side, box.roll, 256)
        outputs = self._networks["face_landmarks_detector"]((crop.astype(np.float32) / 255)[None])
        outputs.sort(key=lambda o: -o.size)
        points = outputs[0].reshape(-1, 3).copy()
        points[:, :2] = points[:, :2] @ back[:, :2].T + back[:, 2]
        points[:, 2] *= box.side / 256
        chosen = points[list(_BLENDSHAPE_POINTS), :2][None].astype(np.float32)
        values = self._networks["face_blendshapes"](chosen)[0].ravel()
        score = float(_sigmoid(outputs[1].ravel()[:1])[0])
        return Face(points, dict(zip(BLENDSHAPES, map(float, values), strict=True)), score)

    def find(self, rgb: Pixels, figure: F32 | None = None) -> Face | None:
        """The face of an RGB picture, or None. `figure` (height, width, 0 to 1) tells where to look harder."""
        height, width = rgb.shape[:2]
        best = self.detect(rgb, width / 2, height / 2, max(width, height))
        if best.score < 0.75 and figure is not None:
            best = max([best, *self._search(rgb, figure)], key=lambda b: b.score)
        if best.score < MIN_SCORE:
            return None
        face = self.mesh(rgb, best)
        for _ in range(2):  # the mesh's own bounds make a better crop than the detector's box
            face = self.mesh(rgb, box_of(face.points, best.score))
        return face if face.score > 0.3 else None

    def find_all(self, rgb: Pixels, most: int = 8) -> list[Face]:
        """Every face of an RGB picture, the largest first; a face of a twentieth of its height is still found."""
        height, width = rgb.shape[:2]
        boxes: list[Box] = []
        for x, y, side in squares(width, height):
            raw, scores, back = self._detections(rgb, x, y, side)
            boxes += [self._box(raw[k], int(k), float(scores[k]), side, back) for k in np.flatnonzero(scores > 0.6)]
        faces: list[tuple[Box, Face]] = []
        for box in distinct(boxes)[: 2 * most]:
            first = self.mesh(rgb, box)
            face = self.mesh(rgb, box_of(first.points, box.score))
            if face.score > 0.5:
                faces.append((box_of(face.points, face.score), face))
        kept = distinct(box for box, _ in faces)
        kept.sort(key=lambda box: -box.side)
        return [next(face for other, face in faces if other is box) for box in kept[:most]]

    def _search(self, rgb: Pixels, figure: F32) -> Iterator[Box]:
        """Squares of many sizes over the figure, in colours that bring drawn and furry faces nearer to a photograph."""
        mask = figure > 0.5
        ys, xs = np.nonzero(mask)
        if len(ys) == 0:
            return
        x0, x1, y0, y1 = xs.min(), xs.max(), ys.min(), ys.max()
        size = max(x1 - x0, y1 - y0)
        grey = cv2.createCLAHE(3, (4, 4)).apply(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        skin = np.clip(grey[..., None] * np.array([1.0, 0.8, 0.68]) + np.array([30, 20, 15]), 0, 255).astype(np.uint8)
        for picture in (rgb, cv2.merge([grey] * 3), skin):
            for scale in (2.0, 1.5, 1.1, 0.8, 0.55):
                for down in (0.3, 0.45, 0.6):
                    for aside in (-0.12, 0.0, 0.12):
                        x, y = (x0 + x1) / 2 + aside * size, y0 + (y1 - y0) * down
                        box = self.detect(picture, x, y, scale * size)
                        inside = 0 <= box.x < mask.shape[1] and 0 <= box.y < mask.shape[0]
                        if inside and mask[int(box.y), int(box.x)] and box.side > 0.25 * size:
                            yield box


def box_of(points: F32, score: float = 1.0) -> Box:
    """The crop that the mesh model likes for a face whose points are known."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    eyes = points[263] - points[33]
    middle = (low + high) / 2
    side = 1.5 * float((high - low).max())
    return Box(float(middle[0]), float(middle[1]), side, float(np.arctan2(eyes[1], eyes[0])), score)
