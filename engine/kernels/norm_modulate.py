"""LayerNorm, then scale and shift: the adaptive ones of a diffusion transformer (DiT, arXiv:2212.09748) or fixed ones.

A transformer's branches each begin with a norm of what the branch before has just added to. `add_norm_modulate` does
the addition and the norm in one pass over the residual stream, and rounds the result to FP8 where a product of FP8
follows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl
from animacy.engine.kernels.fp8 import Quantized, empty_quantized, quantize_fp8_reference, round_token
from animacy.engine.kernels.gated_residual import gated_residual_reference
from animacy.engine.kernels.linear_fp8 import Unscaled, values_of


def norm_modulate(
    x: Tensor, scale: Tensor, shift: Tensor, eps: float, base: float = 1.0, fp8: bool = False
) -> Tensor | Quantized:
    """`layer_norm(x) * (base + scale) + shift`, computed in float32.

    Args:
        x: (batch, tokens, dim).
        scale: (batch, groups, dim); group g modulates the g-th run of tokens / groups tokens, so that one timestep may
            hold for a clip, a latent frame or a single token. A batch of 1 serves any batch.
        shift: as `scale`.
        eps: added to the variance.
        base: 1 for a modulation, 0 where `scale` is the weight of an ordinary norm.
        fp8: whether to round the result, see `quantize_fp8`.

    Returns:
        A tensor like `x`, or that in FP8.
    """
    if on_gpu(x, scale, shift):
        return norm_modulate_triton(x, scale, shift, eps, base, fp8=fp8)
    normed = norm_modulate_reference(x, scale, shift, eps, base)
    return quantize_fp8_reference(normed) if fp8 else normed


def add_norm_modulate(
    x: Tensor,
    y: Tensor | Unscaled,
    gate: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    eps: float,
    base: float = 1.0,
    fp8: bool = False,
) -> tuple[Tensor, Tensor | Quantized]:
    """`x + y * gate`, and its `norm_modulate`; may overwrite `x`.

    Args:
        x: (batch, tokens, dim), the residual stream.
        y: like `x`, what a branch adds; may be expanded over tokens, or be owed its scale.
        gate: as `scale`; None adds all of `y`.
        scale, shift, eps, base, fp8: see `norm_modulate`.

    Returns:
        (residual stream, normed); on the GPU the former is `x` itself.
    """
    if on_gpu(x, values_of(y), scale, shift) and x.is_contiguous():
        return x, norm_modulate_triton(x, scale, shift, eps, base, y, gate, fp8)
    x, normed = add_norm_modulate_reference(x, y, gate, scale, shift, eps, base)
    return x, quantize_fp8_reference(normed) if fp8 else normed


def norm_modulate_reference(x: Tensor, scale: Tensor, shift: Tensor, eps: float, base: float = 1.0) -> Tensor:
    """What the kernel computes, in PyTorch."""
    normed = F.layer_norm(x.float(), x.shape[-1:], eps=eps).unflatten(1, (scale.shape[1], -1))
    return torch.addcmul(shift.unsqueeze(2), normed, base + scale.unsqueeze(2)).flatten(1, 2).type_as(x)


def add_norm_modulate_reference(
    x: Tensor, y: Tensor | Unscaled, gate: Tensor | None, scale: Tensor, shift: Tensor, eps: float, base: float = 1.0
) -> tuple[Tensor, Tensor]:
    """What the kernel computes, in PyTorch, without overwriting anything."""
    if gate is not None:
        x = gated_residual_reference(x, y, gate)
    else:
        x = (x + y.whole()).type_as(x) if isinstance(y, Unscaled) else x + y
    return x, norm_modulate_reference(x, scale, shift, eps, base)


def norm_modulate_triton(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    eps: float,
    base: float = 1.0,
    y: Tensor | Unscaled | None = None,
    gate: Tensor | None = None,
    fp8: bool = False,
) -> Tensor | Quantized:
    """The kernel, one program a token; adds `y` to `x` in place first where given."""
    batch, tokens, dim = x.shape
    x = x.contiguous()
    scale, shift = (one.expand(batch, -1, -1) for one in (scale, shift))
    factor = scale if gate is None else gate.expand(batch, -1, -1)
    added, y_scale, y_bias = y if isinstance(y, Unscaled) else (x if y is None else y, scale, scale)
    added = added if added.stride(2) == 1 else added.contiguous()
    out = empty_quantized(x) if fp8 else torch.empty_like(x)
    block = next_power_of_2(dim)
    _kernel[(batch * tokens,)](
        x,
        added,
        y_scale,
        y_bias,
        factor,
        scale,
        shift,
        *(out if fp8 else (out, scale)),
        tokens,
        tokens // factor.shape[1],
        tokens // scale.shape[1],
        dim,
        *added.stride()[:2],
        *factor.stride()[:2],
        *scale.stride()[:2],
        *shift.stride()[:2],
        eps,
        base,
        ADD=y is not None,
        SCALED=isinstance(y, Unscaled),
        GATED=gate is not None,
        FP8=fp8,
        BLOCK=block,
        num_warps=min(8, max(1, block // 512)),
    )
    return out


@jit
def _kernel(
    x,
    y,
    y_scale,
    y_bias,
    gate,
    scale,
    shift,
    out,
    out_scale,
    tokens,
    gate_run,
    run,
    dim,
    y_batch,
    y_token,
    gate_batch,
    gate_group,
    scale_batch,
    scale_group,
    shift_batch,
    shift_group,
    eps,
    base,
    ADD: tl.constexpr,
    SCALED: tl.constexpr,
    GATED: tl.constexpr,
    FP8: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    sample = row // tokens
    token = row % tokens
    group = token // run
    column = tl.arange(0, BLOCK)
    inside = column < dim
    values = tl.load(x + row * dim + column, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        added = tl.load(y + sample * y_batch + token * y_token + column, mask=inside, other=0.0).to(tl.float32)
        if SCALED:
            added *= tl.load(y_scale + row)
            added += tl.load(y_bias + column, mask=inside, other=0.0).to(tl.float32)
        if GATED:
            at = sample * gate_batch + (token // gate_run) * gate_group + column
            added = added * tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
        summed = (values + added).to(x.dtype.element_ty)
        tl.store(x + row * dim + column, summed, mask=inside)
        # What is normed is what is stored, rounding included.
        values = summed.to(tl.float32)
    mean = tl.sum(values, axis=0) / dim
    centred = tl.where(inside, values - mean, 0.0)
    inverse = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / dim + eps)
    a = tl.load(scale + sample * scale_batch + group * scale_group + column, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(shift + sample * shift_batch + group * shift_group + column, mask=inside, other=0.0).to(tl.float32)
    result = centred * inverse * (base + a) + b
    if FP8:
        round_token(result, out, out_scale, row, dim, column)
    else:
        tl.store(out + row * dim + column, result.to(out.dtype.element_ty), mask=inside)
