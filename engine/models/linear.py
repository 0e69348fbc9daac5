"""Linear layers whose matrix products run in FP8."""

from __future__ import annotations

from torch import Tensor, nn

from animacy.engine.kernels import linear_fp8, quantize_fp8
from animacy.engine.kernels.fp8 import Quantized


class FP8Linear(nn.Module):
    """Computes what a linear layer does, with its weights rounded to FP8 once and its input at each call.

    Every output channel and every token has a scale of its own. Inference only.

    Args:
        linear: the layer; not kept.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = quantize_fp8(linear.weight)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor | Quantized, gelu: bool = False) -> Tensor:
        """Map (..., in) to (..., out); `gelu` applies GELU to `x` first, in the pass that rounds it."""
        rounded = x if isinstance(x, Quantized) else quantize_fp8(x, gelu)
        return linear_fp8(*rounded, self.weight, self.scale, self.bias, self.bias.dtype)


def quantize(block: nn.Module) -> None:
    """Replace the linear layers in `block` that all tokens go through; contexts are short, and keep theirs (`kv`)."""
    for parent in list(block.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and name != "kv":
                parent.register_module(name, FP8Linear(layer))
