"""RMS norm of queries and keys over all heads, then the rotary position embedding (RoFormer, arXiv:2104.09864)."""

import torch
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl


def qk_norm_rope(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, eps: float
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

    Returns:
        (q, k), shaped as they came; on the GPU they are the arguments themselves.
    """
    if on_gpu(q, k, q_weight, k_weight):
        return qk_norm_rope_triton(q, k, q_weight, k_weight, cos, sin, eps)
    return (
        norm_rope_reference(q, q_weight, cos, sin, eps),
        norm_rope_reference(k, k_weight, cos, sin, eps),
    )


def norm_rope_reference(x: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, eps: float) -> Tensor:
    """What the kernel does to one of the two, in PyTorch, without overwriting it."""
    values = x.float()
    normed = values * torch.rsqrt(values.square().mean(-1, keepdim=True) + eps) * weight.float()
    return rotate(normed.unflatten(-1, (-1, 2 * cos.shape[-1])), cos, sin).flatten(-2).type_as(x)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring channels of (batch, tokens, heads, head_dim) by angles of ([batch,] tokens, head_dim / 2).

    Real arithmetic, so that it captures, compiles and runs in any precision; complex128 does none of these well.
    """
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def qk_norm_rope_triton(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, eps: float
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
        tokens,
        dim,
        half,
        0 if cos.dim() == 2 else tokens * half,
        *q.stride()[:2],
        *k.stride()[:2],
        eps,
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
    tokens,
    dim,
    half,
    angle_batch,
    q_batch,
    q_token,
    k_batch,
    k_token,
    eps,
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
    inverse = 1.0 / tl.sqrt(tl.sum(values * values, axis=0) / dim + eps)
    values = values * inverse * tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    even, odd = tl.split(tl.reshape(values, (BLOCK, 2)))
    pair = tl.arange(0, BLOCK)
    angle = sample * angle_batch + token * half + pair % half
    c = tl.load(cos + angle, mask=pair < dim // 2, other=0.0)
    s = tl.load(sin + angle, mask=pair < dim // 2, other=0.0)
    rotated = tl.interleave(even * c - odd * s, even * s + odd * c)
    tl.store(base + column, rotated.to(q.dtype.element_ty), mask=inside)
