"""Which part of each weight a rank has, when several share a transformer (Megatron-LM, arXiv:1909.08053).

What makes heads or hidden channels is split by its outputs, and what reads them by its inputs. The latter's results
are summed over all ranks, so that only the first one adds a bias. All else is on every rank.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from animacy.engine.models import VideoDiT
from animacy.engine.ranks import ALONE, Ranks

_BY_OUTPUT = re.compile(r"\.(self_attn|cross_attn|audio_attn)\.(qkv|kv|q|norm_q|norm_k)\.|\.ffn\.0\.")
_BY_INPUT = re.compile(r"\.(self_attn|cross_attn|audio_attn)\.o\.|\.ffn\.2\.")
_FUSED = re.compile(r"\.(qkv|kv)\.")


@dataclass(frozen=True, slots=True)
class Shard:
    """How a parameter is shared: split along `axis`, or all of it on every rank, or `once` and zeros on the others.

    `fused` parameters hold so many projections one after the other, each of which is split. `width` is the size of the
    whole along `axis`, where it is not that of all parts together if they were all alike.
    """

    ranks: Ranks
    axis: int | None = None
    fused: int = 1
    once: bool = False
    width: int | None = None

    def whole(self, shape: torch.Size) -> torch.Size:
        """The shape that all ranks' parts of shape `shape` have together."""
        return torch.Size(
            (self.width or n * self.ranks.size) if axis == self.axis else n for axis, n in enumerate(shape)
        )

    def take(self, whole: Tensor) -> Tensor:
        """This rank's part of a whole parameter, or of one of the projections that it holds if they come one by one."""
        if self.once and self.ranks.rank:
            return torch.zeros_like(whole)
        return whole if self.axis is None else self.ranks.part(whole, self.axis)

    def take_fused(self, whole: Tensor) -> Tensor:
        """This rank's part of a whole parameter, all the projections that it holds."""
        return torch.cat([self.take(one) for one in whole.chunk(self.fused)])


def shards(model: nn.Module) -> dict[str, Shard]:
    """How each parameter of a network is shared, by name."""
    if not isinstance(model, VideoDiT) or model.ranks.size == 1:
        return {name: Shard(ALONE) for name, _ in model.named_parameters()}
    return {name: _shard(name, model) for name, _ in model.named_parameters()}


def _shard(name: str, model: VideoDiT) -> Shard:
    ranks, width = model.ranks, model.config.ffn_dim if ".ffn." in name else None
    if _BY_OUTPUT.search(name):
        fused = _FUSED.search(name)
        return Shard(ranks, axis=0, fused=1 if fused is None else len(fused[1]), width=width)
    if _BY_INPUT.search(name):
        return Shard(ranks, once=True) if name.endswith("bias") else Shard(ranks, axis=1, width=width)
    return Shard(ranks)
