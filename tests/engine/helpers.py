"""What several of the engine's tests need."""

from __future__ import annotations

from dataclasses import replace

import torch

from animacy.engine.config import TINY, TINY_21
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.models.rope import RotaryEmbedding
from animacy.engine.weights import random_

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def relative(a, b):
    """Largest difference, as a share of the largest magnitude."""
    return ((a.float() - b.float()).abs().max() / b.float().abs().max()).item()


def make(preset):
    """The preset's networks with random weights."""
    return random_(VideoDiT(preset.dit), 1), random_(VideoVAE(preset.vae), 2)


def angles(config, frames, rows, columns, first=0):
    positions = torch.arange(first, first + frames)
    return RotaryEmbedding(config).angles(positions, rows, columns)


def with_stream(preset, **changes):
    return replace(preset, stream=replace(preset.stream, **changes))


def picture(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)


__all__ = ["DEVICE", "TINY", "TINY_21", "angles", "make", "picture", "relative", "with_stream"]
