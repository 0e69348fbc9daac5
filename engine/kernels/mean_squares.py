"""What a rank adds to the mean square of an RMS norm whose channels are spread over several ranks."""

import torch
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl


def mean_squares(x: Tensor, y: Tensor, width: int) -> Tensor:
    """Sum of squares over the last axis, divided by `width`, in float32.

    Args:
        x: (batch, tokens, dim); may be a slice of a fused projection, as long as its last axis is dense.
        y: like `x`.
        width: channels of all ranks together.

    Returns:
        (2, batch, tokens), of `x` and of `y`; added up over all ranks it is the mean square.
    """
    take = mean_squares_triton if on_gpu(x, y) else mean_squares_reference
    return take(x, y, width)


def mean_squares_reference(x: Tensor, y: Tensor, width: int) -> Tensor:
    """What the kernel computes, in PyTorch."""
    return torch.stack([one.float().square().sum(-1) / width for one in (x, y)])


def mean_squares_triton(x: Tensor, y: Tensor, width: int) -> Tensor:
    """The kernel, one program a token and tensor."""
    batch, tokens, dim = x.shape
    means = torch.empty(2, batch, tokens, dtype=torch.float32, device=x.device)
    block = next_power_of_2(dim)
    strides = (*x.stride()[:2], *y.stride()[:2])
    grid = (batch * tokens, 2)
    _kernel[grid](x, y, means, tokens, dim, 1 / width, *strides, BLOCK=block, num_warps=min(8, max(1, block // 512)))
    return means


@jit
def _kernel(
    x,
    y,
    means,
    tokens,
    dim,
    share,
    x_batch,
    x_token,
    y_batch,
    y_token,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    which = tl.program_id(1)
    sample = row // tokens
    token = row % tokens
    if which == 0:
        base = x + sample * x_batch
        step = x_token
    else:
        base = y + sample * y_batch
        step = y_token
    column = tl.arange(0, BLOCK)
    values = tl.load(base + token * step + column, mask=column < dim, other=0.0).to(tl.float32)
    tl.store(means + which * tl.num_programs(0) + row, tl.sum(values * values, axis=0) * share)
