"""RMS norm of queries and keys over all heads, then the rotary position embedding (RoFormer, arXiv:2104.09864)."""

import torch
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl


def qk_norm_rope(
    q: Tensor,
    k: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    eps: float,
    means: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Normalise and rotate queries and keys in float32; may overwrite them.

    Args:
        q: (batch, tokens, heads * head_dim); may be a slice of a fused projection, as long as its last axis is dense.
        k: like `q`.
        q_weight: (heads * head_dim,), weight of the RMS norm, whose mean square runs over all heads as in Wan.
        k_weight: like `q_weight`.
        cos: (tokens, head_dim / 2), or (batch, tokens, head_dim / 2) where samples are at different positions, float32;
            of the angle of neighbouring channels 2i and 2i + 1.
        sin: like `cos`.
        eps: added to the mean square.
        means: (2, batch, tokens), float32, mean squares of the tokens of `q` and of `k` where some of the heads are
            elsewhere; None where all are here.

    Returns:
        (q, k), shaped as they came; on the GPU they are the arguments themselves.
    """
    if on_gpu(q, k, q_weight, k_weight):
        return qk_norm_rope_triton(q, k, q_weight, k_weight, cos, sin, eps, means)
    q_mean, k_mean = (None, None) if means is None else means
    return (
        norm_rope_reference(q, q_weight, cos, sin, eps, q_mean),
        norm_rope_reference(k, k_weight, cos, sin, eps, k_mean),
    )


def norm_rope_reference(
    x: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, eps: float, mean: Tensor | None = None
) -> Tensor:
    """What the kernel does to one of the two, in PyTorch, without overwriting it."""
    values = x.float()
    mean = values.square().mean(-1) if mean is None else mean
    normed = values * torch.rsqrt(mean.unsqueeze(-1) + eps) * weight.float()
    return rotate(normed.unflatten(-1, (-1, 2 * cos.shape[-1])), cos, sin).flatten(-2).type_as(x)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring channels of (batch, tokens, heads, head_dim) by angles of ([batch,] tokens, head_dim / 2).

    Real arithmetic, so that it captures, compiles and runs in any precision; complex128 does none of these well.
    """
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def qk_norm_rope_triton(
    q: Tensor,
    k: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    eps: float,
    means: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The kernel, in place, one program a token and tensor."""
    batch, tokens, dim = q.shape
    half = cos.shape[-1]
    block = next_power_of_2(dim // 2)
    _kernel[(batch * tokens, 2)](
        q,
        k,
        q_weight,
        k_weight,
        cos.contiguous(),
        sin.contiguous(),
        cos if means is None else means,
        tokens,
        dim,
        half,
        0 if cos.dim() == 2 else tokens * half,
        *q.stride()[:2],
        *k.stride()[:2],
        eps,
        MEANS=means is not None,
        BLOCK=block,
        num_warps=min(8, max(1, block // 256)),
    )
    return q, k


@jit
def _kernel(
    q,
    k,
    q_weight,
    k_weight,
    cos,
    sin,
    means,
    tokens,
    dim,
    half,
    angle_batch,
    q_batch,
    q_token,
    k_batch,
    k_token,
    eps,
    MEANS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    sample = row // tokens
    token = row % tokens
    is_query = tl.program_id(1) == 0
    if is_query:
        base = q + sample * q_batch + token * q_token
        weight = q_weight
    else:
        base = k + sample * k_batch + token * k_token
        weight = k_weight
    column = tl.arange(0, 2 * BLOCK)
    inside = column < dim
    values = tl.load(base + column, mask=inside, other=0.0).to(tl.float32)
    if MEANS:
        mean = tl.load(means + tl.program_id(1) * tl.num_programs(0) + row)
    else:
        mean = tl.sum(values * values, axis=0) / dim
    values = values * (1.0 / tl.sqrt(mean + eps)) * tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    even, odd = tl.split(tl.reshape(values, (BLOCK, 2)))
    pair = tl.arange(0, BLOCK)
    angle = sample * angle_batch + token * half + pair % half
    c = tl.load(cos + angle, mask=pair < dim // 2, other=0.0)
    s = tl.load(sin + angle, mask=pair < dim // 2, other=0.0)
    rotated = tl.interleave(even * c - odd * s, even * s + odd * c)
    tl.store(base + column, rotated.to(q.dtype.element_ty), mask=inside)
