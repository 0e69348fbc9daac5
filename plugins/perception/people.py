"""From faces to people: where they are, how they look, where they look, what they wear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from animacy.core.vision.face import Face
from animacy.core.vision.facts import Distance, Person, Side
from animacy.plugins.perception import colours

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

# Points of the canonical face mesh.
_NOSE, _LEFT_CHEEK, _RIGHT_CHEEK, _FOREHEAD, _CHIN = 1, 234, 454, 10, 152
_UPPER_LIP, _LOWER_LIP, _MOUTH = 13, 14, (78, 308)
_LEVEL_PITCH = -0.22
"""Radians from the forehead to the chin of a face that looks straight ahead."""
_EYES = ((159, 145, 33, 133), (386, 374, 362, 263))
"""Upper lid, lower lid and the two corners."""


def side_of(x: float, width: int) -> Side:
    """The third of the picture that a column lies in."""
    return "left" if x < width / 3 else "right" if x > width * 2 / 3 else "middle"


def person(face: Face, rgb: Pixels, figure: F32) -> Person:
    """Tell one face. `figure` (height, width, 0 to 1) is where people are."""
    height, width = rgb.shape[:2]
    low, high = face.points[:, :2].min(0), face.points[:, :2].max(0)
    share = float(high[1] - low[1]) / height
    distance: Distance = "near" if share > 0.3 else "mid" if share > 0.13 else "far"
    smiling, mouth_open, eyes_closed = _smiles(face), _mouth_open(face), _eyes_closed(face)
    return Person(
        side=side_of(float(low[0] + high[0]) / 2, width),
        distance=distance,
        expression=_expression(face, smiling, mouth_open, eyes_closed),
        gaze="down" if eyes_closed else _gaze(face),
        smiling=smiling,
        mouth_open=mouth_open,
        eyes_closed=eyes_closed,
        clothes=_clothes(face, rgb, figure),
    )


def _pair(face: Face, name: str) -> float:
    return (face.blendshapes[f"{name}Left"] + face.blendshapes[f"{name}Right"]) / 2


def _smiles(face: Face) -> bool:
    return _pair(face, "mouthSmile") > 0.4


def _mouth_open(face: Face) -> bool:
    gap = float(np.linalg.norm(face.points[_UPPER_LIP, :2] - face.points[_LOWER_LIP, :2]))
    mouth = float(np.linalg.norm(face.points[_MOUTH[0], :2] - face.points[_MOUTH[1], :2]))
    return gap > 0.25 * mouth and face.blendshapes["jawOpen"] > 0.08


def _eyes_closed(face: Face) -> bool:
    return _pair(face, "eyeBlink") > 0.55 and max(_opening(face, eye) for eye in _EYES) < 0.16


def _opening(face: Face, eye: tuple[int, int, int, int]) -> float:
    upper, lower, one, other = (face.points[k, :2] for k in eye)
    return float(np.linalg.norm(upper - lower) / max(float(np.linalg.norm(one - other)), 1e-6))


def _expression(face: Face, smiling: bool, mouth_open: bool, eyes_closed: bool) -> str:
    shapes = face.blendshapes
    brows = max(shapes["browInnerUp"], _pair(face, "browOuterUp"))
    if smiling:
        return "smiling"
    if mouth_open and (brows > 0.4 or _pair(face, "eyeWide") > 0.3) and shapes["jawOpen"] > 0.2:
        return "surprised"
    if eyes_closed:
        return "eyes closed"
    if abs(shapes["eyeBlinkLeft"] - shapes["eyeBlinkRight"]) > 0.45:
        return "winking"
    if (_pair(face, "browDown") > 0.45 and _pair(face, "mouthSmile") < 0.15) or _pair(face, "mouthFrown") > 0.35:
        return "frowning"
    return "mouth open" if mouth_open else "neutral"


def _gaze(face: Face) -> str:
    """Where the eyes point: the head's turn and the eyes' in it, added up; left and right as the viewer sees them."""
    points = face.points
    across = points[_RIGHT_CHEEK] - points[_LEFT_CHEEK]
    down = points[_CHIN] - points[_FOREHEAD]
    yaw = float(np.arctan2(across[2], across[0]))  # grows as the face turns to the viewer's right
    pitch = float(np.arctan2(-down[2], down[1]))  # grows as the chin comes nearer: as the face looks up
    shapes = face.blendshapes
    # The person's left eye looks out, and the right one in, towards the viewer's right.
    aside = (
        shapes["eyeLookOutLeft"] + shapes["eyeLookInRight"] - shapes["eyeLookInLeft"] - shapes["eyeLookOutRight"]
    ) / 2
    up = _pair(face, "eyeLookUp") - _pair(face, "eyeLookDown")
    right, upward = yaw + 0.7 * aside, pitch - _LEVEL_PITCH + 0.5 * up
    if abs(right) > 0.38 and abs(right) >= abs(upward):
        return "right" if right > 0 else "left"
    if abs(upward) > 0.38:
        return "up" if upward > 0 else "down"
    return "at the camera"


def _clothes(face: Face, rgb: Pixels, figure: F32) -> tuple[str, ...]:
    height, width = rgb.shape[:2]
    low, high = face.points[:, :2].min(0), face.points[:, :2].max(0)
    tall, wide = float(high[1] - low[1]), float(high[0] - low[0])
    x0, x1 = int(max(0, low[0] - 0.8 * wide)), int(min(width, high[0] + 0.8 * wide))
    y0, y1 = int(max(0, high[1] + 0.3 * tall)), int(min(height, high[1] + 1.6 * tall))
    if x1 - x0 < 8 or y1 - y0 < 0.15 * tall:
        return ()
    region = rgb[y0:y1, x0:x1][figure[y0:y1, x0:x1] > 0.5]
    return colours.words(region) if len(region) >= 200 else ()
