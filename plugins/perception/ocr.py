"""Text in a picture: PP-OCRv6, first where it is (differentiable binarisation, Liao 2020), then what it says (CTC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.plugins.perception.sessions import session

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

_INK, _SURE = 0.3, 0.5
"""The least share of ink a pixel of text has, and the least mean over a box."""
_GROW = 1.5
"""How much a box's core is grown (area times this over its outline): the network marks only the core of a line."""
_CONTRAST = 16
"""A picture whose lightest and darkest values differ by less is blank."""
_HEIGHT = 48
_WIDEST = 1600
"""Pixels of a strip of text that is recognised at once, at most."""
_BATCH = 6
_LEGIBLE = 0.6
"""The least mean certainty of a text that is told."""


@dataclass(frozen=True, slots=True)
class TextBox:
    """Where one piece of text is: its corners (4, 2) in pixels from the upper left on, clockwise."""

    corners: F32

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in pixels."""
        low, high = self.corners.min(0), self.corners.max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def height(self) -> float:
        """Of the text, in pixels."""
        return float(np.linalg.norm(self.corners[3] - self.corners[0]))

    @property
    def width(self) -> float:
        """Along the text, in pixels."""
        return float(np.linalg.norm(self.corners[1] - self.corners[0]))


class TextReader:
    """Finds and reads text. Not safe for use from two threads at once."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._detector = session(folder / "PP-OCRv6_det_small.onnx", threads)
        self._recogniser = session(folder / "PP-OCRv6_rec_small.onnx", threads)
        characters = self._recogniser.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = ("", *characters, " ")

    def find(self, rgb: Pixels, longest: int) -> list[TextBox]:
        """Where text is, from the top down. The picture is scaled so that its longer side is at most `longest`."""
        height, width = rgb.shape[:2]
        scale = min(1.0, longest / max(height, width))
        size = tuple(max(32, round(length * scale / 32) * 32) for length in (width, height))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        if int(np.ptp(small)) < _CONTRAST:
            return []
        ink = self._detector.run(None, {self._detector.get_inputs()[0].name: _network_input(small)[None]})[0][0, 0]
        core = cv2.dilate((ink > _INK).astype(np.uint8), np.ones((2, 2), np.uint8))
        contours, _ = cv2.findContours(core, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        back = np.array([width / size[0], height / size[1]], np.float32)
        boxes = []
        for contour in contours:
            box = _grown(contour, ink)
            if box is not None:
                boxes.append(TextBox(np.asarray(box * back, np.float32)))
        return sorted(boxes, key=lambda box: box.bounds[1])

    def read(self, rgb: Pixels, boxes: Sequence[TextBox]) -> list[str]:
        """What each box says; empty where that is not legible."""
        texts = [""] * len(boxes)
        strips = {index: _strip(rgb, box) for index, box in enumerate(boxes)}
        order = sorted(strips, key=lambda index: strips[index].shape[1])  # like widths waste no padding
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            widest = -(-max(strips[index].shape[1] for index in chosen) // 32) * 32
            batch = np.zeros((len(chosen), 3, _HEIGHT, widest), np.float32)
            for row, index in enumerate(chosen):
                batch[row, :, :, : strips[index].shape[1]] = _network_input(strips[index])
            scores = self._recogniser.run(None, {self._recogniser.get_inputs()[0].name: batch})[0]
            for row, index in enumerate(chosen):
                texts[index] = self._decode(scores[row])
        return texts

    def _decode(self, scores: F32) -> str:
        best, certainty = scores.argmax(1), scores.max(1)
        kept = (best != 0) & np.concatenate([[True], best[1:] != best[:-1]])
        if not kept.any() or float(certainty[kept].mean()) < _LEGIBLE:
            return ""
        return "".join(self._characters[k] for k in best[kept]).strip()


def _network_input(rgb: Pixels) -> F32:
    """The networks want BGR, -1 to 1, channels first."""
    return np.ascontiguousarray((rgb[..., ::-1].astype(np.float32) / 127.5 - 1).transpose(2, 0, 1))


def _grown(contour: NDArray[np.int32], ink: F32) -> F32 | None:
    """Corners of the box around a core, grown to the whole height of its letters; None when it is no text."""
    (x, y), (width, height), angle = cv2.minAreaRect(contour)
    if min(width, height) < 2:
        return None
    left, top, wide, tall = cv2.boundingRect(contour)
    inside = np.zeros((tall, wide), np.uint8)
    cv2.drawContours(inside, [contour - (left, top)], -1, 1, -1)
    if float(ink[top : top + tall, left : left + wide][inside > 0].mean()) < _SURE:
        return None
    grow = 2 * _GROW * width * height / (2 * (width + height))
    if max(width, height) > 3 * min(width, height) and abs(angle % 90 - 45) > 43:  # straight lines lie straight
        x0, y0, x1, y1 = left - grow / 2, top - grow / 2, left + wide + grow / 2, top + tall + grow / 2
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)
    else:
        corners = _clockwise(cv2.boxPoints(((x, y), (width + grow, height + grow), angle)))
    limit = np.array([ink.shape[1], ink.shape[0]], np.float32)
    corners = np.clip(corners, 0, limit)
    return corners if min(np.ptp(corners, axis=0)) >= 4 else None


def _clockwise(corners: F32) -> F32:
    """From the upper left on, where the text is read from left to right."""
    ordered = corners[np.argsort(corners[:, 0], kind="stable")]
    (a, b), (c, d) = ordered[:2], ordered[2:]
    upper_left, lower_left = (a, b) if a[1] < b[1] else (b, a)
    upper_right, lower_right = (c, d) if c[1] < d[1] else (d, c)
    return np.array([upper_left, upper_right, lower_right, lower_left], np.float32)


def _strip(rgb: Pixels, box: TextBox) -> Pixels:
    width = int(np.clip(round(_HEIGHT * box.width / max(box.height, 1)), 16, _WIDEST))
    target = np.array([(0, 0), (width, 0), (width, _HEIGHT)], np.float32)
    there = cv2.getAffineTransform(box.corners[:3].astype(np.float32), target)
    flags = cv2.INTER_AREA if box.height > _HEIGHT else cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(rgb, there, (width, _HEIGHT), flags=flags, borderMode=cv2.BORDER_REPLICATE))
