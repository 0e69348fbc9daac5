"""Puts together attention that was computed over parts of the keys (FlashAttention's split over keys, Flash-Decoding).

One latent frame has few queries: tiles of 128 queries times heads leave a GPU partly idle in the last wave. Splitting
the keys gives more, smaller tiles; each part brings its own softmax sum, by which the parts are weighed here.
"""

import torch
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl


def merge_splits(parts: Tensor, log_sums: Tensor) -> Tensor:
    """Weigh partial attentions by their shares of the softmax.

    Args:
        parts: (splits, batch, tokens, heads, head_dim), attention over each part of the keys; splits and batch may lie
            in either order.
        log_sums: (splits, batch, heads, tokens), float32, likewise: log of the sum of exponentials of each part.

    Returns:
        (batch, tokens, heads, head_dim), attention over all keys.
    """
    take = merge_splits_triton if on_gpu(parts, log_sums) and parts[0, 0].is_contiguous() else merge_splits_reference
    return take(parts, log_sums)


def merge_splits_reference(parts: Tensor, log_sums: Tensor) -> Tensor:
    """What the kernel computes, in PyTorch."""
    shares = torch.softmax(log_sums.float(), dim=0).transpose(2, 3).unsqueeze(-1)
    return (parts.float() * shares).sum(0).type_as(parts)


def merge_splits_triton(parts: Tensor, log_sums: Tensor) -> Tensor:
    """The kernel, one program a token."""
    splits, batch, tokens, heads, head_dim = parts.shape
    out = torch.empty(parts.shape[1:], dtype=parts.dtype, device=parts.device)
    dim = heads * head_dim
    block = next_power_of_2(dim)
    _kernel[(batch * tokens,)](
        parts,
        log_sums,
        out,
        tokens,
        heads,
        head_dim,
        dim,
        *parts.stride()[:2],
        *log_sums.stride()[:2],
        SPLITS=splits,
        BLOCK=block,
        num_warps=min(8, max(1, block // 512)),
    )
    return out


@jit
def _kernel(
    parts,
    log_sums,
    out,
    tokens,
    heads,
    head_dim,
    dim,
    parts_split,
    parts_batch,
    sums_split,
    sums_batch,
    SPLITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < dim
    sample, token = row // tokens, row % tokens
    at = sample * sums_batch + (column // head_dim) * tokens + token
    source = sample * parts_batch + token * dim + column
    highest = tl.load(log_sums + at, mask=inside, other=0.0)
    for split in tl.static_range(1, SPLITS):
        highest = tl.maximum(highest, tl.load(log_sums + split * sums_split + at, mask=inside, other=0.0))
    total = tl.zeros((BLOCK,), tl.float32)
    merged = tl.zeros((BLOCK,), tl.float32)
    for split in tl.static_range(0, SPLITS):
        share = tl.exp(tl.load(log_sums + split * sums_split + at, mask=inside, other=0.0) - highest)
        part = tl.load(parts + split * parts_split + source, mask=inside, other=0.0).to(tl.float32)
        total += share
        merged += share * part
    tl.store(out + row * dim + column, (merged / total).to(out.dtype.element_ty), mask=inside)
