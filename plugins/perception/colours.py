"""Colours in words."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

ENOUGH = 0.22
"""A colour that covers less of a region than this share is not named."""
# Samples of what people call each colour, sRGB; the nearest in Lab decides.
_SAMPLES = {
    "black": ("101010", "2a2a2c", "1c2026"),
    "white": ("ffffff", "f2f2f2", "f5f2ec", "e8ecf0"),
    "grey": ("808080", "5a5a5c", "a8a8aa", "c8c8c8", "6b727a", "98a0a8"),
    "red": ("d02020", "a01818", "f04038", "7c1414", "c43c3c"),
    "orange": ("f08020", "ff9c38", "d86818", "e85c20", "c8641e"),
    "yellow": ("f8d828", "ffec60", "d8b820", "f0c020", "fff09a"),
    "green": ("28a040", "187028", "80c850", "50b878", "405c28", "a4d48c", "6b8050"),
    "teal": ("189890", "40c0b8", "106068", "8cd4d0"),
    "blue": ("2060d0", "183080", "50a0f0", "90c8f8", "202c58", "4a6c94", "b4d4f0"),
    "purple": ("8030b0", "58208c", "a878d8", "c8a8ec", "4a2860"),
    "pink": ("f060a0", "f8a0c0", "e04080", "ffc8d8"),
    "brown": ("805030", "5c3820", "a07048", "3e2818", "70543c"),
    "beige": ("d8c8a8", "e8d8c0", "c4b090", "e0c8a8"),
}


@cache
def _anchors() -> tuple[list[str], F32]:
    names = [name for name, samples in _SAMPLES.items() for _ in samples]
    rgb = np.array([tuple(bytes.fromhex(h)) for samples in _SAMPLES.values() for h in samples], np.uint8)
    return names, _lab(rgb[None])[0]


def _lab(rgb: Pixels) -> F32:
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def words(pixels: Pixels, most: int = 2) -> tuple[str, ...]:
    """The colours of pixels (n, 3) by name, the most frequent first; empty when there are none."""
    if len(pixels) == 0:
        return ()
    pixels = pixels[:: max(1, len(pixels) // 4000)]
    names, anchors = _anchors()
    distances = np.linalg.norm(_lab(pixels[None])[0][:, None] - anchors[None], axis=2)
    shares: dict[str, float] = {}
    for index, number in enumerate(np.bincount(distances.argmin(1), minlength=len(names))):
        shares[names[index]] = shares.get(names[index], 0.0) + float(number) / len(pixels)
    ranked = sorted(shares, key=lambda name: -shares[name])
    return tuple(name for name in ranked[:most] if shares[name] >= ENOUGH) or (ranked[0],)
