"""Per-token quantisation to FP8 (e4m3), for matrix products on Hopper and later (arXiv:2209.05433).

What goes into the second half of a feed-forward passes through GELU on the way.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl

FP8 = torch.float8_e4m3fn
KNOWS_FP8 = (8, 9)
"""Compute capability from which tensor cores take it: Ada and Hopper."""
LARGEST = torch.finfo(FP8).max
SMALLEST_SCALE = 1e-12
"""Keeps a token of zeros from dividing by zero."""
_LARGEST, _SMALLEST_SCALE = tl.constexpr(LARGEST), tl.constexpr(SMALLEST_SCALE)


class Quantized(NamedTuple):
    """Tokens in FP8: `values` (..., dim), float8_e4m3fn, and `scale` (..., 1), float32; `values * scale` is meant."""

    values: Tensor
    scale: Tensor


def quantize_fp8(x: Tensor, gelu: bool = False) -> Quantized:
    """Quantise each token by its own largest magnitude.

    Args:
        x: (..., dim).
        gelu: quantise `gelu(x)` instead (tanh form).
    """
    take = quantize_fp8_triton if on_gpu(x) else quantize_fp8_reference
    return take(x, gelu)


def quantize_fp8_reference(x: Tensor, gelu: bool = False) -> Quantized:
    """What the kernel computes, in PyTorch."""
    values = F.gelu(x.float(), approximate="tanh") if gelu else x.float()
    scale = (values.abs().amax(-1, keepdim=True) / LARGEST).clamp_min(SMALLEST_SCALE)
    return Quantized((values / scale).clamp(-LARGEST, LARGEST).to(FP8), scale)


def empty_quantized(x: Tensor) -> Quantized:
    """Room for `x` in FP8."""
    values = torch.empty(x.shape, dtype=FP8, device=x.device)
    return Quantized(values, torch.empty((*x.shape[:-1], 1), dtype=torch.float32, device=x.device))


def quantize_fp8_triton(x: Tensor, gelu: bool = False) -> Quantized:
    """The kernel, one program a token."""
    dim = x.shape[-1]
    tokens = x.numel() // dim
    rounded = empty_quantized(x)
    block = next_power_of_2(dim)
    _kernel[(tokens,)](
        x.contiguous(),
        *rounded,
        dim,
        GELU=gelu,
        BLOCK=block,
        num_warps=min(16, max(1, block // 512)),
    )
    return rounded


@jit
def round_token(token, values, scale, row, dim, column) -> None:
    """Store a token in FP8, with its scale: what ends a kernel that makes tokens."""
    unit = tl.maximum(tl.max(tl.abs(token), axis=0) / _LARGEST, _SMALLEST_SCALE)
    tl.store(values + row * dim + column, (token * (1.0 / unit)).to(values.dtype.element_ty), mask=column < dim)
    tl.store(scale + row, unit)


@jit
def _kernel(
    x,
    values,
    scale,
    dim,
    GELU: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < dim
    token = tl.load(x + row * dim + column, mask=inside, other=0.0).to(tl.float32)
    if GELU:
        # (1 + tanh(u)) / 2 is 1 / (1 + exp(-2 u)); of 1 / y the root is one instruction, and 1 / y is eight.
        exponent = token * (-2.302208198144325 - 0.1029432397 * token * token)
        root = tl.math.rsqrt(1.0 + tl.math.exp2(exponent))
        token *= root * root
    round_token(token, values, scale, row, dim, column)
