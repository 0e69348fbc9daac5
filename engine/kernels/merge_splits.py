"""Puts together attention that was computed over parts of the keys (FlashAttention's split over keys, Flash-Decoding).

One latent frame has few queries: tiles of 128 queries times heads leave a GPU partly idle in the last wave. Splitting
the keys gives more, smaller tiles; each part brings its own softmax sum, by which the parts are weighed here.
"""

import torch
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl
from animacy.engine.kernels.fp8 import Quantized, empty_quantized, quantize_fp8, quantize_fp8_reference, round_token


def merge_splits(parts: Tensor, log_sums: Tensor, fp8: bool = False) -> Tensor | Quantized:
    """Weigh partial attentions by their shares of the softmax.

    Args:
        parts: (splits, batch, tokens, heads, head_dim), attention over each part of the keys; splits and batch may lie
            in either order.
        log_sums: (splits, batch, heads, tokens), float32, likewise: log of the sum of exponentials of each part.
        fp8: whether to round the result, see `quantize_fp8`.

    Returns:
        (batch, tokens, heads * head_dim), attention over all keys, or that in FP8.
    """
    if len(parts) == 1:
        whole = parts[0].flatten(2)
        return quantize_fp8(whole) if fp8 else whole
    if on_gpu(parts, log_sums) and parts[0, 0].is_contiguous():
        return merge_splits_triton(parts, log_sums, fp8)
    merged = merge_splits_reference(parts, log_sums)
    return quantize_fp8_reference(merged) if fp8 else merged


def merge_splits_reference(parts: Tensor, log_sums: Tensor) -> Tensor:
    """What the kernel computes, in PyTorch."""
    shares = torch.softmax(log_sums.float(), dim=0).transpose(2, 3).unsqueeze(-1)
    return (parts.float() * shares).sum(0).flatten(2).type_as(parts)


def merge_splits_triton(parts: Tensor, log_sums: Tensor, fp8: bool = False) -> Tensor | Quantized:
    """The kernel, one program a token."""
    splits, batch, tokens, heads, head_dim = parts.shape
    dim = heads * head_dim
    merged = parts.new_empty(batch, tokens, dim)
    out = empty_quantized(merged) if fp8 else merged
    block = next_power_of_2(dim)
    _kernel[(batch * tokens,)](
        parts,
        log_sums,
        *(out if fp8 else (out, log_sums)),
        tokens,
        heads,
        head_dim,
        dim,
        *parts.stride()[:2],
        *log_sums.stride()[:2],
        SPLITS=splits,
        FP8=fp8,
        BLOCK=block,
        num_warps=min(8, max(1, block // 512)),
    )
    return out


@jit
def _kernel(
    parts,
    log_sums,
    out,
    out_scale,
    tokens,
    heads,
    head_dim,
    dim,
    parts_split,
    parts_batch,
    sums_split,
    sums_batch,
    SPLITS: tl.constexpr,
    FP8: tl.constexpr,
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
    if FP8:
        round_token(merged / total, out, out_scale, row, dim, column)
    else:
        tl.store(out + row * dim + column, (merged / total).to(out.dtype.element_ty), mask=inside)
