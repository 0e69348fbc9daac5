"""Writes the keys and values of new tokens into the rows of a cache, both in one pass."""

from torch import Tensor

from animacy.engine.kernels.dispatch import jit, on_gpu, tl

_BLOCK = 1024


def store_rows(k: Tensor, v: Tensor, keys: Tensor, values: Tensor, rows: Tensor) -> None:
    """`keys[rows] = k; values[rows] = v`, cast to the cache's type (`store_fp8` is for FP8).

    Args:
        k: (batch, tokens, dim); may be a slice of a fused projection, as long as its last axis is dense.
        v: like `k`, with the same strides.
        keys: (slots, dim), dense.
        values: like `keys`.
        rows: (batch * tokens,), int64, on the device: which row takes which token.
    """
    if on_gpu(k, v) and k.stride() == v.stride():
        store_rows_triton(k, v, keys, values, rows)
    else:
        store_rows_reference(k, v, keys, values, rows)


def store_rows_reference(k: Tensor, v: Tensor, keys: Tensor, values: Tensor, rows: Tensor) -> None:
    """What the kernel does, in PyTorch."""
    for source, target in ((k, keys), (v, values)):
        target.index_copy_(0, rows, source.flatten(0, 1).to(target.dtype))


def store_rows_triton(k: Tensor, v: Tensor, keys: Tensor, values: Tensor, rows: Tensor) -> None:
    """The kernel, one program a piece of a token's key and value."""
    batch, tokens, dim = k.shape
    grid = (batch * tokens, -(-dim // _BLOCK))
    _kernel[grid](k, v, keys, values, rows, tokens, dim, *k.stride()[:2], BLOCK=_BLOCK)


@jit
def _kernel(
    k,
    v,
    keys,
    values,
    rows,
    tokens,
    dim,
    source_batch,
    source_token,
    BLOCK: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < dim
    source = (token // tokens) * source_batch + (token % tokens) * source_token + column
    target = tl.load(rows + token) * dim + column
    key = tl.load(k + source, mask=inside, other=0.0)
    value = tl.load(v + source, mask=inside, other=0.0)
    tl.store(keys + target, key.to(keys.dtype.element_ty), mask=inside)
    tl.store(values + target, value.to(values.dtype.element_ty), mask=inside)
