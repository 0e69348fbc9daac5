"""Linear layers whose matrix products run in FP8."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from animacy.engine.kernels import linear_fp8, product_fp8, quantize_fp8
from animacy.engine.kernels.fp8 import Quantized, quantize_fp8_reference
from animacy.engine.kernels.linear_fp8 import Unscaled


class FP8Linear(nn.Module):
    """Computes what a linear layer does, with its weights rounded to FP8 once and its input at each call.

    Every token has a scale of its own, and every output channel. Inference only.

    Args:
        linear: the layer; not kept.
        owing: leave scales of tokens and bias to who reads the result: it is an `Unscaled`. The weight has one scale.
    """

    def __init__(self, linear: nn.Linear, owing: bool = False) -> None:
        super().__init__()
        self.owing = owing
        if owing:
            weight, scale = quantize_fp8_reference(linear.weight.flatten())
            weight, scale = weight.view_as(linear.weight), scale.squeeze()
        else:
            weight, scale = quantize_fp8(linear.weight)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("one", torch.ones_like(scale) if owing else None)
        self.bias = linear.bias

    def forward(self, x: Tensor | Quantized, gelu: bool = False) -> Tensor | Unscaled:
        """Map (..., in) to (..., out); `gelu` applies GELU to `x` first, in the pass that rounds it."""
        rounded = x if isinstance(x, Quantized) else quantize_fp8(x, gelu)
        if self.owing:
            values = product_fp8(rounded.values, self.weight, (self.one, self.scale), self.bias.dtype)
            return Unscaled(values, rounded.scale, self.bias)
        return linear_fp8(*rounded, self.weight, self.scale, self.bias, self.bias.dtype)


def quantize(block: nn.Module, owing: Collection[nn.Module] = ()) -> None:
    """Replace the linear layers in `block` that all tokens go through; contexts are short, and keep theirs (`kv`).

    Those of `owing` leave something to be done, see `FP8Linear`.
    """
    for parent in list(block.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and name != "kv":
                parent.register_module(name, FP8Linear(layer, layer in owing))
