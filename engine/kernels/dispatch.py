"""The one rule by which a Triton kernel or its PyTorch reference is taken, and Triton itself where installed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ModuleNotFoundError:  # not made for this platform: the references do the work
    triton = None
    # The kernels' signatures and decorators are read when their modules are imported.
    tl = SimpleNamespace(constexpr=int)

__all__ = ["jit", "next_power_of_2", "on_gpu", "tl", "triton"]


def jit(kernel: Any) -> Any:
    """`triton.jit`, or the plain function where Triton is not installed.

    Kernels annotate their constants only: Triton evaluates annotations, and would take `int` as an order for 32 bits
    and no longer learn from the values which strides are aligned.
    """
    return kernel if triton is None else triton.jit(kernel)


def on_gpu(*tensors: Tensor) -> bool:
    """Whether the Triton kernel is to be taken: on CUDA, with Triton installed, and no gradient asked for.

    The kernels have no backward, so training goes through the references.
    """
    wants_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return triton is not None and tensors[0].is_cuda and not wants_gradient


def next_power_of_2(count: int) -> int:
    """The least power of two that is not below `count`: Triton blocks have such sizes."""
    return int(1 << (count - 1).bit_length())
