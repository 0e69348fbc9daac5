"""Attention of queries, keys and values in FP8, computed on the tensor cores' FP8.

FlashAttention-3 does it so, too (arXiv:2407.08608). The softmax and all sums are float32; its weights are rounded to
FP8 for the second product, which wants values that lie side by side along the tokens, as `store_fp8` writes them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, on_gpu, tl, triton
from animacy.engine.kernels.fp8 import KNOWS_FP8

TILE = 64
"""Queries of a program, of which two fit a multiprocessor of Hopper at a time."""
_KEYS = 128
"""Keys of a step, measured on an H100 beside 64 and 256."""
_HEAD_DIMS = (64, 128)
_LOWEST = tl.constexpr(-1e30)
"""Of a score that does not count; minus infinity would make NaN of a part in which none counts."""
_STRETCH = tl.constexpr(8.0)
"""Weights go up to 2 ** 8 rather than 1, since FP8 keeps nothing below 2 ** -9."""
_ALIGNED = 16
"""Bytes: what the copy engine needs of a row of values."""


def attend_fp8(
    q: Tensor, k: Tensor, v: Tensor, dtype: torch.dtype, mask: Tensor | None = None, splits: int = 1
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention.

    Args:
        q: (batch, tokens, heads, head_dim), float8_e4m3fn, dense.
        k: (batch, seen, heads, head_dim), float8_e4m3fn, dense but for the batch.
        v: like `k`, but with `seen` as the axis of stride 1.
        dtype: of the result.
        mask: (batch, 1, 1, seen), true where all tokens may look; None lets all see all.
        splits: into how many parts the keys may be cut.

    Returns:
        What `merge_splits` takes: attention over each part of the keys, and its sums.
    """
    if on_gpu(q, k, v) and _fits(k, v):
        return attend_fp8_triton(q, k, v, dtype, mask, splits)
    return attend_fp8_reference(q, k, v, dtype, mask)


def attend_fp8_reference(
    q: Tensor, k: Tensor, v: Tensor, dtype: torch.dtype, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attention in one part, computed in `dtype` over what was rounded."""
    q, k, v = (one.to(dtype).contiguous().transpose(1, 2) for one in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
    return mixed.unsqueeze(0), torch.zeros(1, *q.shape[:3], device=q.device)


def _fits(k: Tensor, v: Tensor) -> bool:
    """Whether the kernel takes such keys and values, on this GPU."""
    rows = (k.stride(0), k.stride(1), v.stride(0), v.stride(3))
    return (
        torch.cuda.get_device_capability(k.device) >= KNOWS_FP8
        and k.shape[3] in _HEAD_DIMS
        and v.stride(1) == 1
        and all(row % _ALIGNED == 0 for row in rows)
    )


def attend_fp8_triton(
    q: Tensor, k: Tensor, v: Tensor, dtype: torch.dtype, mask: Tensor | None = None, splits: int = 1
) -> tuple[Tensor, Tensor]:
    """The kernel, one program a tile of queries of a head and a part of the keys."""
    from triton.tools.tensor_descriptor import TensorDescriptor

    batch, tokens, heads, head_dim = q.shape
    seen, dim = k.shape[1], heads * head_dim
    queries = TensorDescriptor.from_tensor(q.flatten(2), [1, TILE, head_dim])
    keys = TensorDescriptor(k, [batch, seen, dim], [*k.stride()[:2], 1], [1, _KEYS, head_dim])
    values = TensorDescriptor(v, [batch, dim, seen], [v.stride(0), v.stride(3), 1], [1, head_dim, _KEYS])
    # As many as there is something for: a part of no keys would have no softmax.
    steps = triton.cdiv(triton.cdiv(seen, _KEYS), splits)
    splits = triton.cdiv(seen, steps * _KEYS)
    parts = torch.empty(splits, *q.shape, dtype=dtype, device=q.device)
    log_sums = torch.empty(splits, batch, heads, tokens, dtype=torch.float32, device=q.device)
    _kernel[(triton.cdiv(tokens, TILE), heads, splits * batch)](
        queries,
        keys,
        values,
        parts if mask is None else mask,
        parts,
        log_sums,
        batch,
        tokens,
        seen,
        steps * _KEYS,
        0 if mask is None else mask.stride(0),
        head_dim**-0.5,
        MASKED=mask is not None,
        HEAD_DIM=head_dim,
        TILE=TILE,
        KEYS=_KEYS,
        num_warps=4,
        num_stages=3,
    )
    return parts, log_sums


@jit
def _attend(
    query,
    keys,
    values,
    mask,
    sample,
    head,
    first,
    end,
    scale,
    highest,
    total,
    mixed,
    LAST: tl.constexpr,
    MASKED: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    KEYS: tl.constexpr,
):
    """One step of the online softmax."""
    key = keys.load([sample, first, head * HEAD_DIM]).reshape(KEYS, HEAD_DIM)
    scores = tl.dot(query, key.T) * scale
    if LAST or MASKED:
        column = first + tl.arange(0, KEYS)
        allowed = column < end
        if MASKED:
            allowed &= tl.load(mask + column, mask=allowed, other=0).to(tl.int1)
        scores = tl.where(allowed[None, :], scores, _LOWEST)
    risen = tl.maximum(highest, tl.max(scores, 1))
    weights = tl.math.exp2(scores - risen[:, None] + _STRETCH)
    fading = tl.math.exp2(highest - risen)
    total = total * fading + tl.sum(weights, 1)
    value = values.load([sample, head * HEAD_DIM, first]).reshape(HEAD_DIM, KEYS)
    mixed = tl.dot(weights.to(tl.float8e4nv), value.T, mixed * fading[:, None])
    return risen, total, mixed


@jit
def _kernel(
    queries,
    keys,
    values,
    mask,
    parts,
    log_sums,
    batch,
    tokens,
    seen,
    part,
    mask_batch,
    scale,
    MASKED: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    TILE: tl.constexpr,
    KEYS: tl.constexpr,
):
    head = tl.program_id(1)
    sample = tl.program_id(2) % batch
    begin = tl.program_id(2) // batch * part
    end = tl.minimum(begin + part, seen)
    whole = begin + (end - begin) // KEYS * KEYS
    token = tl.program_id(0) * TILE + tl.arange(0, TILE)
    channel = head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    query = queries.load([sample, tl.program_id(0) * TILE, head * HEAD_DIM]).reshape(TILE, HEAD_DIM)
    highest = tl.full([TILE], _LOWEST, tl.float32)
    total = tl.zeros([TILE], tl.float32)
    mixed = tl.zeros([TILE, HEAD_DIM], tl.float32)
    mask += sample * mask_batch
    scale *= 1.4426950408889634  # of powers of two
    for first in tl.range(begin, whole, KEYS):
        highest, total, mixed = _attend(
            query,
            keys,
            values,
            mask,
            sample,
            head,
            first,
            end,
            scale,
            highest,
            total,
            mixed,
            False,
            MASKED,
            HEAD_DIM,
            KEYS,
        )
    if whole < end:
        highest, total, mixed = _attend(
            query,
            keys,
            values,
            mask,
            sample,
            head,
            whole,
            end,
            scale,
            highest,
            total,
            mixed,
            True,
            MASKED,
            HEAD_DIM,
            KEYS,
        )
    row = (tl.program_id(2).to(tl.int64) * tl.num_programs(1) + head) * tokens + token
    tl.store(log_sums + row, (highest + tl.math.log2(total) - _STRETCH) * 0.6931471805599453, mask=token < tokens)
    to = (tl.program_id(2).to(tl.int64) * tokens + token[:, None]) * tl.num_programs(1) * HEAD_DIM + channel[None, :]
    tl.store(parts + to, (mixed / total[:, None]).to(parts.dtype.element_ty), mask=token[:, None] < tokens)
