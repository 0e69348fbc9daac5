"""Moves cached keys in time: turns the share of each head that holds the position of the frame (arXiv:2104.09864)."""

from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl
from animacy.engine.kernels.qk_norm_rope import rotate


def rotate_keys(source: Tensor, cos: Tensor, sin: Tensor, target: Tensor) -> None:
    """Write `source`, its first channels turned, to `target`.

    Args:
        source: (layers, batch, tokens, heads, head_dim), rotated keys.
        cos: (batch, time_dim / 2), float32, of the angle by which each sample's keys are turned.
        sin: like `cos`.
        target: shaped like `source`, with its last two axes dense; may be `source` itself.
    """
    take = rotate_keys_triton if on_gpu(source) else rotate_keys_reference
    take(source, cos, sin, target)


def rotate_keys_reference(source: Tensor, cos: Tensor, sin: Tensor, target: Tensor) -> None:
    """What the kernel does, in PyTorch, a layer at a time: it works on a float32 copy."""
    time_dim = 2 * cos.shape[-1]
    for before, after in zip(source, target, strict=True):
        after[..., :time_dim] = rotate(before[..., :time_dim].float(), cos.unsqueeze(1), sin.unsqueeze(1))
        after[..., time_dim:] = before[..., time_dim:]


def rotate_keys_triton(source: Tensor, cos: Tensor, sin: Tensor, target: Tensor) -> None:
    """The kernel, one program a token's heads."""
    layers, batch, tokens, heads, head_dim = source.shape
    pairs = next_power_of_2(heads * head_dim // 2)
    _kernel[(batch * tokens, layers)](
        source,
        cos.contiguous(),
        sin.contiguous(),
        target,
        tokens,
        heads * head_dim // 2,
        head_dim // 2,
        cos.shape[-1],
        *source.stride()[:3],
        *target.stride()[:3],
        PAIRS=pairs,
        num_warps=min(8, max(1, pairs // 256)),
    )


@jit
def _kernel(
    source,
    cos,
    sin,
    target,
    tokens,
    dim_half,
    head_half,
    time_half,
    source_layer,
    source_batch,
    source_token,
    target_layer,
    target_batch,
    target_token,
    PAIRS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    layer = tl.program_id(1).to(tl.int64)
    sample = row // tokens
    token = row % tokens
    column = tl.arange(0, 2 * PAIRS)
    inside = column < 2 * dim_half
    read = source + layer * source_layer + sample * source_batch + token * source_token
    values = tl.load(read + column, mask=inside, other=0.0).to(tl.float32)
    even, odd = tl.split(tl.reshape(values, (PAIRS, 2)))
    pair = tl.arange(0, PAIRS)
    place = pair % head_half
    turned = (place < time_half) & (pair < dim_half)
    c = tl.load(cos + sample * time_half + place, mask=turned, other=1.0)
    s = tl.load(sin + sample * time_half + place, mask=turned, other=0.0)
    rotated = tl.interleave(even * c - odd * s, even * s + odd * c)
    write = target + layer * target_layer + sample * target_batch + token * target_token
    tl.store(write + column, rotated.to(target.dtype.element_ty), mask=inside)
