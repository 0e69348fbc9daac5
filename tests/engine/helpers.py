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


class Between(torch.nn.Module):
    """Calls something in the middle of an iteration, as another thread would."""

    def __init__(self, dit):
        super().__init__()
        self.dit = dit
        self.call = lambda: None

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("dit"), name)

    def forward(self, *arguments):
        self.call()
        return self.dit(*arguments)


__all__ = ["DEVICE", "TINY", "TINY_21", "Between", "angles", "make", "picture", "relative", "with_stream"]
