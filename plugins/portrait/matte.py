"""Figure and background: which pixels belong to the character, and what would be behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

_SIDE = 320  # the size U2-Net was trained at
_MEAN, _SPREAD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def figure(rgb: Pixels, model: Path, threads: int = 1) -> F32:
    """How much each pixel belongs to the most evident figure, shape (height, width), 0 to 1."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    small = cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = (small / max(float(small.max()), 1e-6) - _MEAN) / _SPREAD
    raw = session.run(None, {session.get_inputs()[0].name: small.transpose(2, 0, 1)[None].astype(np.float32)})[0][0, 0]
    raw = (raw - raw.min()) / (raw.max() - raw.min() + 1e-6)
    height, width = rgb.shape[:2]
    return refine(rgb, cv2.resize(np.asarray(raw, np.float32), (width, height), interpolation=cv2.INTER_CUBIC))


def refine(rgb: Pixels, coarse: F32) -> F32:
    """Snap a coarse matte to the picture's edges (guided filter, He 2010), and fill holes inside the figure."""
    solid = _fill_holes(np.clip(coarse, 0, 1))
    guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    radius = max(2, round(max(rgb.shape[:2]) / 90))
    box = (2 * radius + 1, 2 * radius + 1)

    def mean(x: NDArray[np.floating[Any]]) -> F32:
        return np.asarray(cv2.blur(x, box), np.float32)

    m_i, m_p = mean(guide), mean(solid)
    a = (mean(guide * solid) - m_i * m_p) / (mean(guide * guide) - m_i * m_i + 2e-4)
    matte = mean(a) * guide + mean(m_p - a * m_i)
    matte = np.clip((matte - 0.12) / 0.7, 0, 1)
    return np.asarray(matte * matte * (3 - 2 * matte), np.float32)


def _fill_holes(matte: F32) -> F32:
    """Raise what the figure encloses to full weight."""
    height, width = matte.shape
    outside = np.zeros((height + 2, width + 2), np.uint8)
    outside[1:-1, 1:-1] = matte < 0.5
    outside[:, 0] = outside[:, -1] = outside[0] = 1  # the figure may leave the picture at the bottom
    cv2.floodFill(outside, None, (0, 0), 2)
    hole = (outside[1:-1, 1:-1] == 1).astype(np.float32)
    return np.asarray(np.maximum(matte, cv2.GaussianBlur(hole, (0, 0), 2)), np.float32)


def fill(picture: F32, known: F32) -> F32:
    """Fill where `known` is 0 from around it, smoothly (push-pull over a pyramid).

    picture: (height, width, channels); known: (height, width), 0 to 1. Where `known` is 1 the picture is unchanged.
    """
    height, width = known.shape
    if min(height, width) <= 2 or float(known.min()) >= 1:
        total = max(float(known.sum()), 1e-6)
        average = (picture * known[..., None]).sum((0, 1)) / total
        return np.asarray(picture * known[..., None] + average * (1 - known[..., None]), np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    weight = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
    small = cv2.resize(picture * known[..., None], half, interpolation=cv2.INTER_AREA)
    small = small.reshape(weight.shape[0], weight.shape[1], -1) / np.maximum(weight, 1e-6)[..., None]
    small = fill(np.asarray(small, np.float32), np.asarray(np.minimum(weight * 1.6, 1), np.float32))
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).reshape(picture.shape)
    return np.asarray(picture * known[..., None] + large * (1 - known[..., None]), np.float32)
