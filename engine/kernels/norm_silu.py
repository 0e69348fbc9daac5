"""The video autoencoder's norm and SiLU, written straight into the window of the causal convolution that follows.

A causal convolution wants its past frames in front of the new ones. Writing the activation to where the convolution
will read it saves the concatenation and the padding, which together move more bytes than the norm itself.
"""

import torch.nn.functional as F
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl

_ROWS = 8


def norm_silu(x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """`silu(rms_norm(x) * weight)` over the channels, computed in float32.

    Args:
        x: (batch, channels, frames, height, width).
        weight: channels values, in any shape.
        out: where the result goes, shaped like `x`; usually the last frames of a larger buffer.

    Returns:
        `out`.
    """
    dense = _rows_are_dense(x) and _rows_are_dense(out)
    take = norm_silu_triton if dense and on_gpu(x, weight) else norm_silu_reference
    return take(x, weight, out)


def norm_silu_reference(x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """What the kernel computes, in PyTorch."""
    return out.copy_(F.silu(channel_norm(x.float(), weight.float().view(-1, 1, 1, 1), dim=1)))


def channel_norm(x: Tensor, weight: Tensor, dim: int) -> Tensor:
    """The autoencoder's norm: unit length over the channels, times sqrt(channels) and `weight`."""
    return F.normalize(x, dim=dim) * (x.shape[dim] ** 0.5 * weight)


def _rows_are_dense(x: Tensor) -> bool:
    """Whether each sample is channels-last without gaps, so that its pixels are rows of channels."""
    channels, _, height, width = x.shape[1:]
    return x.stride()[1:] == (1, height * width * channels, width * channels, channels)


def norm_silu_triton(x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """The kernel, one program for a few pixels; both tensors are channels-last within a sample."""
    batch, channels = x.shape[:2]
    pixels = x[0, 0].numel()
    block = next_power_of_2(channels)
    _kernel[(-(-pixels // _ROWS), batch)](
        x,
        weight,
        out,
        pixels,
        channels,
        channels**0.5,
        x.stride(0),
        out.stride(0),
        ROWS=_ROWS,
        BLOCK=block,
        num_warps=min(8, max(1, _ROWS * block // 512)),
    )
    return out


@jit
def _kernel(
    x,
    weight,
    out,
    pixels,
    channels,
    root,
    x_batch,
    out_batch,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    sample = tl.program_id(1).to(tl.int64)
    column = tl.arange(0, BLOCK)[None, :]
    inside = (row < pixels) & (column < channels)
    at = row * channels + column
    values = tl.load(x + sample * x_batch + at, mask=inside, other=0.0).to(tl.float32)
    length = tl.sqrt(tl.sum(values * values, axis=1))[:, None]
    scale = tl.load(weight + column, mask=column < channels, other=0.0).to(tl.float32) * root
    normed = values / tl.maximum(length, 1e-12) * scale
    result = normed / (1.0 + tl.exp(-normed))
    tl.store(out + sample * out_batch + at, result.to(out.dtype.element_ty), mask=inside)
