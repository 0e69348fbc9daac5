"""The thing a picture is about: in a hand, else in the middle, else the whole scene; with its colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from animacy.core.vision.facts import Thing
from animacy.plugins.perception import colours
from animacy.plugins.perception.classifier import Classifier

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

MIN_CERTAINTY = 0.4
"""Below this the classifier's names are guesses."""
_MOST = 2
_GROUPS = ((151, 269, "dog"), (281, 286, "cat"), (294, 298, "bear"))
"""Classes of ImageNet, from and up to, that are kinds of one animal."""
_NAMES = {first: name for first, _, name in _GROUPS}
_OTHER = 28.0
"""How far (of 255 a channel) from the colours around it a pixel of the thing is."""


def things(rgb: Pixels, classifier: Classifier, hands: Sequence[F32], anyone: bool) -> tuple[Thing, ...]:
    """What is there, the surest first. `hands` are points in pixels; `anyone`: whether people are in the picture."""
    boxes = [_around(points, rgb) for points in hands]
    boxes += [] if anyone else [_salient(rgb)]
    height, width = rgb.shape[:2]
    side = min(height, width)
    for share in (1.0, 0.6):
        half = side * share / 2
        boxes.append((int(width / 2 - half), int(height / 2 - half), int(width / 2 + half), int(height / 2 + half)))
    boxes.append((0, 0, width, height))
    boxes = [box for box in boxes if box[2] - box[0] >= 8 and box[3] - box[1] >= 8]
    if not boxes:
        return ()
    scores = _grouped(classifier([rgb[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]))
    found: dict[int, tuple[float, tuple[int, int, int, int]]] = {}
    for box, row in zip(boxes, scores, strict=True):
        best = int(row.argmax())
        if float(row[best]) > found.get(best, (0.0, box))[0]:
            found[best] = (float(row[best]), box)
    ranked = sorted(found.items(), key=lambda item: -item[1][0])[:_MOST]
    return tuple(
        Thing(_NAMES.get(k) or _plain(classifier.labels[k]), round(certainty, 2), _colours(rgb, box))
        for k, (certainty, box) in ranked
        if certainty >= MIN_CERTAINTY
    )


def _grouped(scores: F32) -> F32:
    """Give the first class of each group what its breeds have together, for who sees a dog rarely asks which."""
    scores = scores.copy()
    for first, end, _ in _GROUPS:
        scores[:, first] = scores[:, first:end].sum(1)
        scores[:, first + 1 : end] = 0
    return scores


def _plain(label: str) -> str:
    return label.split(" (")[0].split(" / ")[0].replace("Granny Smith apple", "apple")


def _around(points: F32, rgb: Pixels) -> tuple[int, int, int, int]:
    height, width = rgb.shape[:2]
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    x, y = (low + high) / 2
    half = 1.1 * float((high - low).max())
    return int(max(0, x - half)), int(max(0, y - half)), int(min(width, x + half)), int(min(height, y + half))


def _different(rgb: Pixels) -> NDArray[np.bool_]:
    """Pixels unlike those at the edge of the picture in the same row or at its corners."""
    nearest = np.full(rgb.shape[:2], 255, np.int16)
    for side in _sides(rgb):
        sample = np.median(side, axis=1)[:, None].astype(np.int16)
        nearest = np.minimum(nearest, np.abs(rgb.astype(np.int16) - sample).max(2))
    return np.asarray(nearest > _OTHER)


def _sides(rgb: Pixels) -> tuple[Pixels, Pixels]:
    edge = max(2, rgb.shape[1] // 40)
    return rgb[:, :edge], rgb[:, -edge:]


def _is_plain(rgb: Pixels) -> bool:
    """Whether what surrounds the thing is so even that the thing's own colours can be told from it."""
    rows = [np.median(side, axis=1).astype(np.int16) for side in _sides(rgb)]
    jumps = [float(np.percentile(np.abs(np.diff(row, axis=0)).max(1), 95)) for row in rows]
    return max(jumps) < 12 and float(np.median(np.abs(rows[0] - rows[1]).max(1))) < _OTHER


def _salient(rgb: Pixels) -> tuple[int, int, int, int]:
    """The box of what stands out from its surroundings; the whole picture when nothing does."""
    height, width = rgb.shape[:2]
    mask = _different(rgb)
    columns, rows = np.flatnonzero(mask.mean(0) > 0.04), np.flatnonzero(mask.mean(1) > 0.04)
    if len(columns) == 0 or len(rows) == 0:
        return 0, 0, width, height
    x, y = (int(columns[0]) + int(columns[-1])) // 2, (int(rows[0]) + int(rows[-1])) // 2
    half = int(0.6 * max(columns[-1] - columns[0], rows[-1] - rows[0]))
    return max(0, x - half), max(0, y - half), min(width, x + half), min(height, y + half)


def _colours(rgb: Pixels, box: tuple[int, int, int, int]) -> tuple[str, ...]:
    """Of the thing itself where it stands out from its surroundings, else none."""
    if not _is_plain(rgb):
        return ()
    x0, y0, x1, y1 = box
    mask = _different(rgb)[y0:y1, x0:x1]
    share = float(mask.mean()) if mask.size else 0.0
    return colours.words(rgb[y0:y1, x0:x1][mask]) if 0.05 < share < 0.8 else ()
