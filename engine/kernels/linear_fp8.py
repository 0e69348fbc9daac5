"""Matrix products of FP8 by FP8: with a scale for each token and each output channel, or with those of tokens owed.

On an H100 a product into few channels takes up to a third longer where cuBLAS scales tokens itself. Whoever reads such
a product next can do that in passing, as `add_norm_modulate` does.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from animacy.engine.kernels.dispatch import on_gpu


class Unscaled(NamedTuple):
    """The result of a linear layer, `values * scale + bias`, before that is computed.

    `values` is (..., dim), `scale` (..., 1), float32, `bias` (dim,).
    """

    values: Tensor
    scale: Tensor
    bias: Tensor

    def whole(self) -> Tensor:
        """The result, in float32."""
        return self.values.float() * self.scale + self.bias.float()


def values_of(y: Tensor | Unscaled) -> Tensor:
    """What there is of a result in memory, whole or not."""
    return y.values if isinstance(y, Unscaled) else y


def linear_fp8(
    x: Tensor, x_scale: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor, dtype: torch.dtype
) -> Tensor:
    """`(x * x_scale) @ (weight * weight_scale).T + bias`, on the tensor cores' FP8 where there is a GPU.

    Args:
        x: (..., in), float8_e4m3fn; `x_scale` (..., 1), float32, see `quantize_fp8`.
        weight: (out, in), float8_e4m3fn; `weight_scale` (out, 1), float32. On the GPU both sizes are multiples of 16.
        bias: (out,), of `dtype`.
        dtype: of the result; bfloat16 on the GPU.

    Returns:
        (..., out).
    """
    take = _linear_fp8_gpu if on_gpu(x, weight) else linear_fp8_reference
    return take(x, x_scale, weight, weight_scale, bias, dtype)


def linear_fp8_reference(
    x: Tensor, x_scale: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor, dtype: torch.dtype
) -> Tensor:
    """The same in float32."""
    product = torch.nn.functional.linear(x.float() * x_scale, weight.float() * weight_scale)
    return (product + bias.float()).to(dtype)


def product_fp8(x: Tensor, weight: Tensor, scales: tuple[Tensor, Tensor], dtype: torch.dtype) -> Tensor:
    """As `linear_fp8`, without scales of tokens and a bias: `x @ weight.T` times both `scales`, each a number."""
    one, other = scales
    if not on_gpu(x, weight):
        return torch.nn.functional.linear(x.float(), weight.float() * one * other).to(dtype)
    product = torch._scaled_mm(x.flatten(0, -2), weight.t(), one, other, out_dtype=dtype, use_fast_accum=True)
    return product.unflatten(0, x.shape[:-1])


def _linear_fp8_gpu(
    x: Tensor, x_scale: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor, dtype: torch.dtype
) -> Tensor:
    """Fast accumulation is what makes it twice as fast as bfloat16: partial sums keep some 14 bits (DeepSeek-V3)."""
    product = torch._scaled_mm(
        x.flatten(0, -2),
        weight.t(),
        x_scale.flatten(0, -2),
        weight_scale.t(),
        bias=bias,
        out_dtype=dtype,
        use_fast_accum=True,
    )
    return product.unflatten(0, x.shape[:-1])
