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

    The latter serves to count and to load; only a network of one rank can also run so.
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
        if self.group is None:
            return x
        data = x.contiguous().view(torch.uint8) if x.element_size() == 1 else x.contiguous()  # FP8 is not exchanged
        parts = [torch.empty_like(data) for _ in range(self.size)]
        dist.all_gather(parts, data, group=self.group)
        return torch.cat(parts, dim=axis).view(x.dtype)

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
