"""From the points of a hand to stretched fingers and the gesture they make."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from animacy.core.vision.facts import Hand
from animacy.plugins.perception.people import side_of

F32 = NDArray[np.float32]

_WRIST = 0
_THUMB = (1, 2, 3, 4)
_FINGERS = ((5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
_INDEX, _MIDDLE, _LITTLE = _FINGERS[0], _FINGERS[1], _FINGERS[3]


def hand(points: F32, width: int) -> Hand:
    """Tell one hand from its points (21, 3) in pixels, in a picture that wide."""
    thumb = _thumb_out(points)
    fingers = tuple(_straight(points, finger) for finger in _FINGERS)
    raised = bool(points[_MIDDLE[0], 1] < points[_WRIST, 1] - 0.3 * _palm(points))
    gesture = _gesture(points, thumb, fingers)
    return Hand(side_of(float(points[:, 0].mean()), width), int(thumb) + sum(fingers), raised, gesture)


def _palm(points: F32) -> float:
    return max(float(np.linalg.norm(points[_MIDDLE[0], :2] - points[_WRIST, :2])), 1e-6)


def _angle(a: F32, b: F32) -> float:
    return float(np.arccos(np.clip(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6), -1, 1)))


def _straight(points: F32, finger: tuple[int, int, int, int]) -> bool:
    root, middle, _, tip = (points[k] for k in finger)
    reach = float(np.linalg.norm(tip - points[_WRIST])) / float(np.linalg.norm(middle - points[_WRIST]) + 1e-6)
    return _angle(middle - root, tip - middle) < 0.9 and reach > 1.08


def _thumb_out(points: F32) -> bool:
    _, root, joint, tip = (points[k] for k in _THUMB)
    away = float(np.linalg.norm(tip[:2] - points[_LITTLE[0], :2]))
    near = float(np.linalg.norm(root[:2] - points[_LITTLE[0], :2]))
    from_index = float(np.linalg.norm(tip[:2] - points[_INDEX[0], :2]))
    return _angle(joint - root, tip - joint) < 0.75 and away > 1.1 * near and from_index > 0.45 * _palm(points)


def _gesture(points: F32, thumb: bool, fingers: tuple[bool, ...]) -> str | None:
    pinch = float(np.linalg.norm(points[_THUMB[3], :2] - points[_INDEX[3], :2])) < 0.3 * _palm(points)
    if pinch and fingers[1] and fingers[2] and fingers[3]:
        return "OK sign"
    if not any(fingers):
        if not thumb:
            return "fist"
        up = points[_THUMB[1], 1] - points[_THUMB[3], 1]
        aside = abs(float(points[_THUMB[1], 0] - points[_THUMB[3], 0]))
        return None if abs(float(up)) < aside else "thumbs up" if up > 0 else "thumbs down"
    if fingers == (True, False, False, False):
        return "pointing finger"
    if fingers == (True, True, False, False) and not thumb:
        return "victory sign"
    return "open palm" if all(fingers) and thumb else None
