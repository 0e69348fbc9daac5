"""Hands of a picture: MediaPipe's palm detector and its 21 points of each hand."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.core.vision.crop import Box, cut, distinct, squares
from animacy.core.vision.litert import Network

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

_PALM, _HAND = 192, 224
"""Sides of the two models' pictures."""
_WRIST, _MIDDLE = 0, 9
_PALM_WRIST, _PALM_MIDDLE = 0, 2
MIN_PALM, MIN_HAND = 0.55, 0.6
"""The least scores of a palm and of the points on it."""


@dataclass(frozen=True, slots=True)
class HandPoints:
    """One hand: points (21, 3) in pixels, as MediaPipe numbers them (0 the wrist, 4 the thumb's tip), and its score."""

    points: F32
    score: float


class HandLandmarker:
    """Finds hands. Not safe for use from two threads at once."""

    def __init__(self, task: Path, threads: int = 1) -> None:
        with zipfile.ZipFile(task) as parts:
            self._palms = Network(parts.read("hand_detector.tflite"), threads)
            self._hand = Network(parts.read("hand_landmarks_detector.tflite"), threads)
        cells = ((24, 2), (12, 6))
        self._centres = np.array(
            [((x + 0.5) / n, (y + 0.5) / n) for n, k in cells for y in range(n) for x in range(n) for _ in range(k)],
            np.float32,
        )

    def find_all(self, rgb: Pixels, most: int = 4) -> list[HandPoints]:
        """Every hand of an RGB picture, the surest first."""
        height, width = rgb.shape[:2]
        boxes = [box for square in squares(width, height) for box in self._detect(rgb, *square)]
        found: list[tuple[Box, HandPoints]] = []
        for box in distinct(boxes)[: 2 * most]:
            hand = self._points(rgb, box)
            if hand.score > 0.3:
                hand = self._points(rgb, _box_of(hand.points, hand.score))
            if hand.score >= MIN_HAND:
                found.append((_box_of(hand.points, hand.score), hand))
        kept = distinct((box for box, _ in found), overlap=0.4)
        return [next(hand for other, hand in found if other is box) for box in kept[:most]]

    def _detect(self, rgb: Pixels, x: float, y: float, side: float) -> list[Box]:
        """The squares around whole hands whose palms were seen in one square of the picture."""
        crop, back = cut(rgb, x, y, side, 0.0, _PALM)
        raw, scores = self._palms((crop.astype(np.float32) / 255)[None])
        if raw.shape[-1] != 18:
            raw, scores = scores, raw
        sure = 1 / (1 + np.exp(-np.clip(scores[0, :, 0], -60, 60)))
        boxes = []
        for k in np.flatnonzero(sure > MIN_PALM):
            values = raw[0, k] / _PALM
            points = (np.concatenate([values[:2], values[4:]]).reshape(8, 2) + self._centres[k]) * _PALM
            points = points @ back[:, :2].T + back[:, 2]
            size = float(values[2:4].max()) * side
            up = points[1 + _PALM_MIDDLE] - points[1 + _PALM_WRIST]
            angle = math.atan2(up[1], up[0])
            middle = points[0] + 0.5 * size * np.array([math.cos(angle), math.sin(angle)])
            boxes.append(Box(float(middle[0]), float(middle[1]), 2.6 * size, angle + math.pi / 2, float(sure[k])))
        return boxes

    def _points(self, rgb: Pixels, box: Box) -> HandPoints:
        crop, back = cut(rgb, box.x, box.y, box.side, box.roll, _HAND, cv2.BORDER_REPLICATE)
        outputs = dict(zip(self._hand.names, self._hand((crop.astype(np.float32) / 255)[None]), strict=True))
        ordered = [outputs[name] for name in sorted(outputs)]
        points = ordered[0].reshape(21, 3).copy()
        points[:, :2] = points[:, :2] @ back[:, :2].T + back[:, 2]
        points[:, 2] *= box.side / _HAND
        return HandPoints(np.asarray(points, np.float32), float(ordered[1].ravel()[0]))


def _box_of(points: F32, score: float) -> Box:
    """The square around the points of a hand, with the fingers up."""
    up = points[_MIDDLE, :2] - points[_WRIST, :2]
    roll = math.atan2(up[1], up[0]) + math.pi / 2
    c, s = math.cos(roll), math.sin(roll)
    turned = points[:, :2] @ np.array([[c, -s], [s, c]], np.float32)
    low, high = turned.min(0), turned.max(0)
    middle = np.array([[c, -s], [s, c]]) @ ((low + high) / 2)
    return Box(float(middle[0]), float(middle[1]), float((high - low).max()) * 1.6, roll, score)
