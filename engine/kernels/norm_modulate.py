"""LayerNorm without weights, then the adaptive scale and shift of a diffusion transformer (DiT, arXiv:2212.09748)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl


def norm_modulate(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """`layer_norm(x) * (1 + scale) + shift`, computed in float32.

    Args:
        x: (batch, tokens, dim).
        scale: (batch, groups, dim); group g modulates the g-th run of tokens / groups tokens, so that one timestep may
            hold for a clip, a latent frame or a single token.
        shift: as `scale`.
        eps: added to the variance.

    Returns:
        A tensor like `x`.
    """
    take = norm_modulate_triton if on_gpu(x, scale, shift) else norm_modulate_reference
    return take(x, scale, shift, eps)


def norm_modulate_reference(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """What the kernel computes, in PyTorch."""
    normed = F.layer_norm(x.float(), x.shape[-1:], eps=eps).unflatten(1, (scale.shape[1], -1))
    return torch.addcmul(shift.unsqueeze(2), normed, 1 + scale.unsqueeze(2)).flatten(1, 2).type_as(x)


def norm_modulate_triton(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """The kernel, one program a token."""
    batch, tokens, dim = x.shape
    x = x.contiguous()
    scale, shift = (one.expand(batch, -1, -1) for one in (scale, shift))
    out = torch.empty_like(x)
    block = next_power_of_2(dim)
    _kernel[(batch * tokens,)](
        x,
        scale,
        shift,
        out,
        tokens,
        tokens // scale.shape[1],
        dim,
        *scale.stride()[:2],
        *shift.stride()[:2],
        eps,
        BLOCK=block,
        num_warps=min(8, max(1, block // 512)),
    )
    return out


@jit
def _kernel(
    x,
    scale,
    shift,
    out,
    tokens,
    run,
    dim,
    scale_batch,
    scale_group,
    shift_batch,
    shift_group,
    eps,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    sample = row // tokens
    group = (row % tokens) // run
    column = tl.arange(0, BLOCK)
    inside = column < dim
    values = tl.load(x + row * dim + column, mask=inside, other=0.0).to(tl.float32)
    mean = tl.sum(values, axis=0) / dim
    centred = tl.where(inside, values - mean, 0.0)
    inverse = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / dim + eps)
    a = tl.load(scale + sample * scale_batch + group * scale_group + column, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(shift + sample * shift_batch + group * shift_group + column, mask=inside, other=0.0).to(tl.float32)
    result = centred * inverse * (1.0 + a) + b
    tl.store(out + row * dim + column, result.to(out.dtype.element_ty), mask=inside)
