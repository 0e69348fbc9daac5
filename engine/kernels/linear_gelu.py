"""The first half of a feed-forward: a matrix product whose epilogue adds the bias and applies GELU (tanh form)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from animacy.engine.kernels.dispatch import on_gpu


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`gelu(x @ weight.T + bias)`; on the GPU cuBLAS does all of it in one kernel.

    Args:
        x: (..., in), half precision on the GPU.
        weight: (out, in).
        bias: (out,).

    Returns:
        (..., out).
    """
    if on_gpu(x, weight, bias):
        # Named privately, but it is what PyTorch's own compiler emits for this pattern.
        return torch._addmm_activation(bias, x.flatten(0, -2), weight.t(), use_gelu=True).unflatten(0, x.shape[:-1])
    return F.gelu(F.linear(x, weight, bias), approximate="tanh")
