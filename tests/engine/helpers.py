"""What several of the engine's tests need."""

from __future__ import annotations

from dataclasses import replace

import torch

from animacy.engine.config import TINY, TINY_21
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.models.rope import RotaryEmbedding

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def relative(a, b):
    """Largest difference, as a share of the largest magnitude."""
    return ((a.float() - b.float()).abs().max() / b.float().abs().max()).item()


def random_weights(model, seed=0):
    """Random weights that let every part of a network have its say; norms near one."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else parameter.numel()
        values = torch.randn(parameter.shape, generator=generator)
        is_norm = ("norm" in name and name.endswith("weight")) or name.endswith("gamma")
        parameter.data = 1 + 0.2 * values if is_norm else values * fan_in**-0.5
    return model.eval().requires_grad_(False)


def make(preset):
    """The preset's networks with random weights."""
    return random_weights(VideoDiT(preset.dit), 1), random_weights(VideoVAE(preset.vae), 2)


def angles(config, frames, rows, columns, first=0):
    positions = torch.arange(first, first + frames)
    return RotaryEmbedding(config).angles(positions, rows, columns)


def with_stream(preset, **changes):
    return replace(preset, stream=replace(preset.stream, **changes))


def picture(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)


__all__ = ["DEVICE", "TINY", "TINY_21", "angles", "make", "picture", "random_weights", "relative", "with_stream"]
