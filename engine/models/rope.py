"""Rotary positions of a video token: frame, row and column each turn a share of every head (Wan, arXiv:2503.20314)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from animacy.engine.config import DiTConfig


@dataclass(frozen=True, slots=True)
class Angles:
    """Cosines and sines of the tokens of some latent frames, each ([batch,] tokens, head_dim / 2), float32."""

    cos: Tensor
    sin: Tensor


class RotaryEmbedding:
    """Tables of angles for positions 0 to `max_position` - 1 along each axis.

    A head of d channels gives 2 * (d // 6) to rows, as many to columns, and the rest to frames. The tables are computed
    in float64 and kept in float32: they hold angles, and nothing is ever multiplied in float64 afterwards.
    """

    def __init__(self, config: DiTConfig, device: torch.device | str | None = None) -> None:
        spatial = 2 * (config.head_dim // 6)
        self.time_dim = config.head_dim - 2 * spatial
        self.max_position = config.max_position
        self._time = _table(self.time_dim, config.max_position, config.rope_theta, device)
        self._space = _table(spatial, config.max_position, config.rope_theta, device)

    def angles(self, positions: Tensor, rows: int, columns: int) -> Angles:
        """Angles of the tokens of latent frames, each of `rows` x `columns` tokens.

        Args:
            positions: (frames,), or (batch, frames) where samples are at different positions; int64.
            rows: of tokens.
            columns: of tokens.
        """
        shape = (*positions.shape, rows, columns, -1)
        parts = []
        for time, space in zip(self._time, self._space, strict=True):
            frame = time[positions][..., None, None, :].expand(shape)
            row = space[:rows][:, None].expand(shape)
            column = space[:columns].expand(shape)
            parts.append(torch.cat((frame, row, column), dim=-1).flatten(-4, -2))
        return Angles(*parts)

    def shifts(self, frames: Tensor) -> Angles:
        """Angles that move rotated keys by `frames` (batch,) latent frames in time, see `rotate_keys`.

        Rotations add up, so this equals rotating the unrotated key for its new position.
        """
        cos, sin = (table[frames.abs()] for table in self._time)
        return Angles(cos, sin * frames.sign().unsqueeze(-1))


def _table(dim: int, length: int, theta: float, device: torch.device | str | None) -> tuple[Tensor, Tensor]:
    """(cos, sin), each (length, dim / 2)."""
    frequencies = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies)
    return angles.cos().float().to(device), angles.sin().float().to(device)
