"""The processes that share a network, each with its part of it on a GPU of its own, and what they sum up and exchange.

Collectives work on the tensors of the present stream without the host waiting, so that CUDA graphs hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import torch
import torch.distributed as dist
from torch import Tensor

_UNIT = 128
"""Channels: a tile of a matrix product."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's number among those that share a network. Without a `group` it has its part, and exchanges nothing.

    The latter serves to count and to load, others being taken to be like this one; only one rank can also run so.
    """

    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None

    def all_reduce(self, x: Tensor) -> Tensor:
        """The sum of `x` over all ranks, in place of it."""
        if self.group is not None:
            dist.all_reduce(x, group=self.group)
        return x

    def all_gather(self, x: Tensor, axis: int) -> Tensor:
        """The `x` of all ranks, each as large as this one's, side by side along `axis`."""
        if self.size == 1:
            return x
        if self.group is None:
            return torch.cat([x] * self.size, dim=axis)
        data = x.contiguous().view(torch.uint8) if x.element_size() == 1 else x.contiguous()  # FP8 is not exchanged
        parts = [torch.empty_like(data) for _ in range(self.size)]
        dist.all_gather(parts, data, group=self.group)
        return torch.cat(parts, dim=axis).view(x.dtype)

    def broadcast(self, x: Tensor) -> None:
        """Let all have the first rank's `x`."""
        if self.group is not None:
            dist.broadcast(x, group=self.group, group_src=0)

    def beyond(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The rows next to this rank's, in the stripes above and below: zeros where there is none.

        Args:
            x: this rank's stripe, (batch, channels, frames, rows, columns).

        Returns:
            Two of (batch, channels, frames, 1, columns).
        """
        edges = self.all_gather(torch.stack((x[:, :, :, :1], x[:, :, :, -1:])), 0)
        nothing = torch.zeros_like(edges[0])
        above = edges[2 * self.rank - 1] if self.rank > 0 else nothing
        below = edges[2 * self.rank + 2] if self.rank < self.size - 1 else nothing
        return above, below

    def part(self, x: Tensor, axis: int) -> Tensor:
        """This rank's part of `x`; a view."""
        return x.split(self.widths(x.shape[axis]), dim=axis)[self.rank]

    def widths(self, width: int) -> list[int]:
        """How wide each rank's part of `width` channels is: as wide as the others', or nearly so.

        What does not divide, as 14336 hidden channels by 3, is cut where matrix products like it.
        """
        if width % self.size == 0:
            return [width // self.size] * self.size
        unit = gcd(width, _UNIT)
        whole, rest = divmod(width // unit, self.size)
        return [unit * (whole + (rank < rest)) for rank in range(self.size)]


ALONE = Ranks()
"""One process has all of the network."""
