"""Attention of the video transformer: over the video itself through a cache, and over text or speech beside it."""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from animacy.engine.kernels import qk_norm_rope
from animacy.engine.models.rope import Angles

KeysValues = tuple[Tensor, Tensor]
"""Keys and values, each (batch, tokens, heads, head_dim)."""


class Memory(Protocol):
    """What remembers the keys and values of earlier frames."""

    def update(self, layer: int, keys: Tensor, values: Tensor) -> KeysValues:
        """Store those of the present frames and return all that they may attend to, these included."""
        ...


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention, the one place where a backend is chosen.

    Args:
        q: (batch, tokens, heads, head_dim).
        k: (batch, seen, heads, head_dim).
        v: like `k`.
        mask: (tokens, seen), true where a token may look; None lets all see all.

    Returns:
        (batch, tokens, heads * head_dim).
    """
    q, k, v = (one.transpose(1, 2) for one in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attention of video tokens to video tokens, past ones by way of a memory."""

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.eps = eps
        self.qkv = nn.Linear(dim, 3 * dim)
        self.norm_q = nn.RMSNorm(dim, eps)
        self.norm_k = nn.RMSNorm(dim, eps)
        self.o = nn.Linear(dim, dim)

    def forward(self, x: Tensor, angles: Angles, layer: int, memory: Memory | None, mask: Tensor | None) -> Tensor:
        """Attend from (batch, tokens, dim) to itself and to what `memory` returns for `layer`."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k = qk_norm_rope(q, k, self.norm_q.weight, self.norm_k.weight, angles.cos, angles.sin, self.eps)
        q, k, v = (one.unflatten(-1, (self.num_heads, -1)) for one in (q, k, v))
        if memory is not None:
            k, v = memory.update(layer, k, v)
        return self.o(attention(q, k, v, mask))


class CrossAttention(nn.Module):
    """Attention of video tokens to a context whose keys and values are projected once and used at every step."""

    def __init__(self, dim: int, context_dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(context_dim, 2 * dim)
        self.norm_q = nn.RMSNorm(dim, eps)
        self.norm_k = nn.RMSNorm(dim, eps)
        self.o = nn.Linear(dim, dim)

    def project(self, context: Tensor) -> KeysValues:
        """Keys and values of a context (batch, tokens, context_dim)."""
        k, v = self.kv(context).chunk(2, dim=-1)
        return self.norm_k(k).unflatten(-1, (self.num_heads, -1)), v.unflatten(-1, (self.num_heads, -1))

    def forward(self, x: Tensor, context: KeysValues) -> Tensor:
        """Attend from (batch, tokens, dim) to projected context.

        The context's batch may be a multiple of that of `x`: each sample's tokens then fall into as many equal runs,
        and each run sees its own context (the speech of its latent frame).
        """
        k, v = context
        q = self.norm_q(self.q(x)).unflatten(-1, (self.num_heads, -1))
        runs = q.reshape(k.shape[0], -1, *q.shape[2:])
        return self.o(attention(runs, k, v).view(x.shape))
