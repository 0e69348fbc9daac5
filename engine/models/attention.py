"""Attention of the video transformer: over the video itself through a cache, and over text or speech beside it."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from animacy.engine.kernels import attend_fp8, mean_squares, merge_splits, qk_norm_rope, quantize_fp8
from animacy.engine.kernels.attend_fp8 import TILE
from animacy.engine.kernels.dispatch import on_gpu
from animacy.engine.kernels.fp8 import FP8, Quantized
from animacy.engine.kernels.linear_fp8 import Unscaled
from animacy.engine.models.linear import FP8Linear
from animacy.engine.models.rope import Angles
from animacy.engine.ranks import Ranks

KeysValues = tuple[Tensor, Tensor]
"""Keys and values, each (batch, tokens, heads, head_dim)."""

_BACKENDS = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
_TILE = 128
"""Queries in a tile of cuDNN's kernel; measured times follow waves of such tiles."""
_FP8_TILES = 2
"""How many of our FP8 kernel's a processor takes at a time."""
_LONG = 1024
_MOST_SPLITS = 4
_MERGE = 0.04
"""What one more part costs, as a share of the time in which a wave of tiles is read."""


class Memory(Protocol):
    """What remembers the keys and values of earlier frames."""

    def update(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Store keys and values of the present frames.

        Returns:
            The queries, of the type that is kept, and all that they may attend to, the present frames included.
        """
        ...


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dtype: torch.dtype | None = None, fp8: bool = False
) -> Tensor | Quantized:
    """Scaled dot-product attention, the one place where a backend is chosen.

    cuDNN's is the fastest on Hopper of those that PyTorch brings (about 1.7 times its FlashAttention 2); the others
    follow where it does not apply. What is in FP8 has a kernel of ours.

    Args:
        q: (batch, tokens, heads, head_dim).
        k: (batch, seen, heads, head_dim).
        v: like `k`.
        mask: what broadcasts to (batch, heads, tokens, seen), true where a token may look; None lets all see all.
        dtype: of the result; None is that of `q`.
        fp8: whether to round the result, see `quantize_fp8`.

    Returns:
        (batch, tokens, heads * head_dim), or that in FP8.
    """
    if k.dtype == FP8:
        return merge_splits(*attend_fp8(q, k, v, dtype or q.dtype, mask, _splits(q, k)), fp8)
    if mask is None and (splits := _splits(q, k)) > 1:
        return merge_splits(*_attend_to_parts(q, k, v, splits), fp8)
    q, k, v = (one.transpose(1, 2) for one in (q, k, v))
    with sdpa_kernel(_BACKENDS, set_priority=True):
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
    return quantize_fp8(mixed) if fp8 else mixed


def _attend_to_parts(q: Tensor, k: Tensor, v: Tensor, splits: int) -> tuple[Tensor, Tensor]:
    """Attention over `splits` parts of the keys, as if each sample were so many; as `merge_splits` takes them.

    Keys and values stay where they are; queries of several samples are copied.
    """
    parts_of = (
        q.unsqueeze(1).expand(-1, splits, -1, -1, -1),
        *(one.unflatten(1, (splits, -1)) for one in (k, v)),
    )
    folded = (one.flatten(0, 1).transpose(1, 2) for one in parts_of)
    parts, log_sums, *_ = torch.ops.aten._scaled_dot_product_cudnn_attention(*folded, None, True)
    batch = (len(q), splits)
    parts = parts.transpose(1, 2).unflatten(0, batch).transpose(0, 1)
    return parts, log_sums.view(*batch, *log_sums.shape[1:3]).transpose(0, 1)


def _splits(q: Tensor, k: Tensor) -> int:
    """Into how many parts the keys should be split for the waves of tiles to fill the GPU best (see `merge_splits`)."""
    fp8 = k.dtype == FP8
    tile, at_once = (TILE, _FP8_TILES) if fp8 else (_TILE, 1)
    batch, tokens, heads, _ = q.shape
    seen = k.shape[1]
    if not on_gpu(q, k) or q.dtype == torch.float32 or seen < _LONG:
        return 1
    room = at_once * torch.cuda.get_device_properties(q.device).multi_processor_count
    tiles = -(-tokens // tile) * heads * batch
    copies = 2 if batch > 1 and not fp8 else 1
    fitting = [splits for splits in range(1, _MOST_SPLITS + 1) if fp8 or seen % splits == 0]
    # A part more must pay for the merge, and for the queries where they are copied.
    cost = copies * _MERGE * tiles / room
    return min(fitting, key=lambda splits: -(-tiles * splits // room) / splits + cost * (splits - 1))


class SelfAttention(nn.Module):
    """Attention of video tokens to video tokens, past ones by way of a memory.

    Each of the ranks has its share of the heads, and all get the sum of what the heads say.
    """

    def __init__(self, dim: int, num_heads: int, eps: float, ranks: Ranks) -> None:
        super().__init__()
        self.num_heads = num_heads // ranks.size
        self.eps = eps
        self.ranks = ranks
        self.width, mine = dim, dim // ranks.size
        self.qkv = nn.Linear(dim, 3 * mine)
        self.norm_q = nn.RMSNorm(mine, eps)
        self.norm_k = nn.RMSNorm(mine, eps)
        self.o = nn.Linear(mine, dim)

    def forward(
        self, x: Tensor | Quantized, angles: Angles, layer: int, memory: Memory | None, mask: Tensor | None
    ) -> Tensor | Unscaled:
        """Attend from (batch, tokens, dim) to itself and to what `memory` returns for `layer`."""
        q, k, v = self._project(x, angles)
        if memory is not None:
            q, k, v = memory.update(layer, q, k, v)
        dtype, rounded = self.norm_q.weight.dtype, isinstance(self.o, FP8Linear)
        y = self.o(attention(q, k, v, mask, dtype, rounded))
        return y if isinstance(y, Unscaled) else self.ranks.all_reduce(y)

    def remember(self, x: Tensor | Quantized, angles: Angles, layer: int, memory: Memory) -> None:
        """Store the keys and values of (batch, tokens, dim), and nothing else."""
        memory.update(layer, *self._project(x, angles))

    def _project(self, x: Tensor | Quantized, angles: Angles) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (batch, tokens, heads, head_dim), the former two normed and rotated."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        means = None if self.ranks.size == 1 else self.ranks.all_reduce(mean_squares(q, k, self.width))
        q, k = qk_norm_rope(q, k, self.norm_q.weight, self.norm_k.weight, angles.cos, angles.sin, self.eps, means)
        return tuple(one.unflatten(-1, (self.num_heads, -1)) for one in (q, k, v))


class CrossAttention(nn.Module):
    """Attention of video tokens to a context whose keys and values are projected once and used at every step.

    Heads are shared out as in `SelfAttention`.
    """

    def __init__(self, dim: int, context_dim: int, num_heads: int, eps: float, ranks: Ranks) -> None:
        super().__init__()
        self.num_heads = num_heads // ranks.size
        self.eps = eps
        self.ranks = ranks
        self.width, mine = dim, dim // ranks.size
        self.q = nn.Linear(dim, mine)
        self.kv = nn.Linear(context_dim, 2 * mine)
        self.norm_q = nn.RMSNorm(mine, eps)
        self.norm_k = nn.RMSNorm(mine, eps)
        self.o = nn.Linear(mine, dim)

    def project(self, context: Tensor) -> KeysValues:
        """Keys and values of a context (batch, tokens, context_dim)."""
        k, v = self.kv(context).chunk(2, dim=-1)
        k = self._normed(k, self.norm_k)
        return k.unflatten(-1, (self.num_heads, -1)), v.unflatten(-1, (self.num_heads, -1))

    def forward(self, x: Tensor | Quantized, context: KeysValues) -> Tensor:
        """Attend from (batch, tokens, dim) to projected context.

        The context's batch may be a multiple of that of `x`: each sample's tokens then fall into as many equal runs,
        and each run sees its own context (the speech of its latent frame).
        """
        k, v = context
        q = self._normed(self.q(x), self.norm_q).unflatten(-1, (self.num_heads, -1))
        runs = q.reshape(k.shape[0], -1, *q.shape[2:])
        mixed = attention(runs, k, v)
        assert isinstance(mixed, Tensor)  # as was asked for
        return self.project_out(mixed.view(*q.shape[:2], -1))

    def project_out(self, mixed: Tensor) -> Tensor:
        """From this rank's heads (batch, tokens, heads * head_dim) to what all ranks' add, (batch, tokens, dim)."""
        return self.ranks.all_reduce(self.o(mixed))

    def _normed(self, x: Tensor, norm: nn.RMSNorm) -> Tensor:
        """RMS norm over the heads of all ranks."""
        if self.ranks.size == 1:
            return norm(x)
        values = x.float()
        mean = self.ranks.all_reduce(values.square().sum(-1, keepdim=True) / self.width)
        return (values * torch.rsqrt(mean + self.eps) * norm.weight.float()).type_as(x)
