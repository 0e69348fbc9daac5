"""Rounds queries, keys and values of new tokens to FP8, the latter two into a cache.

Keys are written token by token, values channel by channel, which is how FP8 products on Hopper want them (see
`attend_fp8`). Queries are rounded here since whatever that kernel computed itself it would have to hold in registers.
"""

import torch
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, on_gpu, tl

_TOKENS, _CHANNELS = 64, 64
"""Of a program's tile, which it turns on the way."""


def store_fp8(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """`keys[i, rows] = k; values[i, :, rows] = v`, rounded to FP8, for the rows of each sample i.

    Args:
        q: (batch, tokens, dim); may be a slice of a fused projection, as long as its last axis is dense.
        k: like `q`, with the same strides.
        v: likewise.
        keys: (sessions, slots, dim), float8_e4m3fn, dense.
        values: (sessions, dim, slots), float8_e4m3fn, dense.
        rows: (batch * tokens,), int64, on the device: where each token goes, counted through all sessions' slots. The
            rows of a sample follow each other.

    Returns:
        `q`, rounded and dense.
    """
    same = q.stride() == k.stride() == v.stride()
    take = store_fp8_triton if on_gpu(q, k, v) and same else store_fp8_reference
    return take(q, k, v, keys, values, rows)


def store_fp8_reference(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """What the kernel does, in PyTorch."""
    session, slot = rows // keys.shape[1], rows % keys.shape[1]
    for source, target in ((k, keys), (v, values.transpose(1, 2))):
        written = source.flatten(0, 1).to(target.dtype)
        target.view(torch.uint8)[session, slot] = written.view(torch.uint8)  # PyTorch does not index FP8
    return q.to(keys.dtype).contiguous()


def store_fp8_triton(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """The kernel, one program a tile of tokens and channels."""
    batch, tokens, dim = k.shape
    queries = torch.empty(k.shape, dtype=keys.dtype, device=k.device)
    grid = (-(-tokens // _TOKENS), -(-dim // _CHANNELS), batch)
    _kernel[grid](
        q,
        k,
        v,
        queries,
        keys,
        values,
        rows,
        tokens,
        dim,
        keys.shape[1],
        *k.stride()[:2],
        TOKENS=_TOKENS,
        CHANNELS=_CHANNELS,
    )
    return queries


@jit
def _kernel(
    q,
    k,
    v,
    queries,
    keys,
    values,
    rows,
    tokens,
    dim,
    slots,
    source_batch,
    source_token,
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    sample = tl.program_id(2)
    first = tl.program_id(0) * TOKENS
    token = first + tl.arange(0, TOKENS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (token < tokens)[:, None] & (channel < dim)[None, :]
    source = sample.to(tl.int64) * source_batch + token[:, None] * source_token + channel[None, :]
    start = tl.load(rows + sample * tokens + first)
    session = start // slots
    slot = start % slots + tl.arange(0, TOKENS)
    query = tl.load(q + source, mask=inside, other=0.0).to(queries.dtype.element_ty)
    to = (sample.to(tl.int64) * tokens + token)[:, None] * dim + channel[None, :]
    tl.store(queries + to, query, mask=inside)
    key = tl.load(k + source, mask=inside, other=0.0).to(keys.dtype.element_ty)
    tl.store(keys + (session * slots + slot)[:, None] * dim + channel[None, :], key, mask=inside)
    value = tl.load(v + source, mask=inside, other=0.0).to(values.dtype.element_ty)
    tl.store(values + (session * dim + channel)[None, :] * slots + slot[:, None], value, mask=inside)
