"""Per-token quantisation to FP8 (e4m3), for matrix products on Hopper and later (arXiv:2209.05433).

What goes into the second half of a feed-forward passes through GELU on the way.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl

FP8 = torch.float8_e4m3fn
_LARGEST = torch.finfo(FP8).max
_SMALLEST_SCALE = 1e-12
"""Keeps a token of zeros from dividing by zero."""


def quantize_fp8(x: Tensor, gelu: bool = False) -> tuple[Tensor, Tensor]:
    """Quantise each token by its own largest magnitude.

    Args:
        x: (..., dim).
        gelu: quantise `gelu(x)` instead (tanh form).

    Returns:
        (values, scale): float8_e4m3fn shaped like `x` and float32 of shape (..., 1); `values * scale` is near `x`.
    """
    take = quantize_fp8_triton if on_gpu(x) else quantize_fp8_reference
    return take(x, gelu)


def quantize_fp8_reference(x: Tensor, gelu: bool = False) -> tuple[Tensor, Tensor]:
    """What the kernel computes, in PyTorch."""
    values = F.gelu(x.float(), approximate="tanh") if gelu else x.float()
    scale = (values.abs().amax(-1, keepdim=True) / _LARGEST).clamp_min(_SMALLEST_SCALE)
    return (values / scale).clamp(-_LARGEST, _LARGEST).to(FP8), scale


def quantize_fp8_triton(x: Tensor, gelu: bool = False) -> tuple[Tensor, Tensor]:
    """The kernel, one program a token."""
    dim = x.shape[-1]
    tokens = x.numel() // dim
    values = torch.empty(x.shape, dtype=FP8, device=x.device)
    scale = torch.empty((*x.shape[:-1], 1), dtype=torch.float32, device=x.device)
    block = next_power_of_2(dim)
    _kernel[(tokens,)](
        x.contiguous(),
        values,
        scale,
        dim,
        _LARGEST,
        _SMALLEST_SCALE,
        GELU=gelu,
        BLOCK=block,
        num_warps=min(8, max(1, block // 512)),
    )
    return values, scale


@jit
def _kernel(
    x,
    values,
    scale,
    dim,
    largest,
    smallest_scale,
    GELU: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < dim
    token = tl.load(x + row * dim + column, mask=inside, other=0.0).to(tl.float32)
    if GELU:
        # 0.7978... is sqrt(2 / pi); 1 + tanh(u) is 2 sigmoid(2 u).
        token *= tl.sigmoid(2 * 0.7978845608028654 * (token + 0.044715 * token * token * token))
    unit = tl.maximum(tl.max(tl.abs(token), axis=0) / largest, smallest_scale)
    scaled = tl.minimum(tl.maximum(token / unit, -largest), largest)
    tl.store(values + row * dim + column, scaled.to(values.dtype.element_ty), mask=inside)
    tl.store(scale + row, unit)
