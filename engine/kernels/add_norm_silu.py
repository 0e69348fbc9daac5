"""The video autoencoder between two convolutions, in one pass over memory.

A convolution leaves its bias and a residual block its shortcut to whoever reads the result next. That reader adds both,
norms, applies SiLU and writes straight into the window of the following causal convolution, in front of which lie the
frames of the past: no pass for the bias, none for the sum, no concatenation, no padding in time.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, next_power_of_2, on_gpu, tl

_ELEMENTS = 4096
"""Of a program; some pixels with all their channels."""
_WARPS = 4


class Unfold(NamedTuple):
    """How a smaller shortcut is spread over a larger sum: Wan2.2's way past an upsampling stage.

    Each of its channels is repeated `repeats` times, then `time * space * space` channels become as many neighbours in
    time and space. `lead` leaves out as many first frames. The default is no spreading at all.
    """

    time: int = 1
    space: int = 1
    repeats: int = 1
    lead: int = 0


SAME = Unfold()


def add_norm_silu(
    values: Tensor,
    bias: Tensor | None,
    shortcut: Tensor | None,
    unfold: Unfold,
    weight: Tensor | None,
    out: Tensor | None,
    keep: bool = True,
) -> None:
    """Add bias and shortcut to `values`, and write `silu(rms_norm(sum) * weight)` to `out`, computed in float32.

    Args:
        values: (batch, channels, frames, height, width); overwritten by the sum if `keep`.
        bias: (channels,).
        shortcut: shaped like `values`, or smaller if `unfold` spreads it.
        unfold: see there.
        weight: channels values, in any shape; None writes the sum as it is.
        out: where the result goes, shaped like `values`; usually the last frames of a larger buffer, or some rows of
            each of them.
        keep: whether the sum is wanted in `values`.
    """
    dense = all(_rows_are_dense(one) for one in (values, shortcut) if one is not None)
    dense = dense and (out is None or _frames_are_dense(out))
    tensors = [one for one in (values, bias, shortcut, weight) if one is not None]
    take = add_norm_silu_triton if dense and on_gpu(*tensors) else add_norm_silu_reference
    take(values, bias, shortcut, unfold, weight, out, keep)


def add_norm_silu_reference(
    values: Tensor,
    bias: Tensor | None,
    shortcut: Tensor | None,
    unfold: Unfold,
    weight: Tensor | None,
    out: Tensor | None,
    keep: bool = True,
) -> None:
    """What the kernel does, in PyTorch."""
    total = values.float()
    if bias is not None:
        total = total + bias.float().view(-1, 1, 1, 1)
    if shortcut is not None:
        total = total + spread(shortcut, values.shape[1], unfold)
    if keep:
        values.copy_(total)
    if out is not None:
        total = total.to(values.dtype).float()
        out.copy_(total if weight is None else F.silu(channel_norm(total, weight.float().view(-1, 1, 1, 1), dim=1)))


def spread(x: Tensor, channels: int, unfold: Unfold) -> Tensor:
    """The shortcut as large as the sum, see `Unfold`."""
    if unfold == SAME:
        return x
    x = x.repeat_interleave(unfold.repeats, dim=1).unflatten(1, (channels, unfold.time, unfold.space, unfold.space))
    x = x.permute(0, 1, 5, 2, 6, 3, 7, 4).flatten(6, 7).flatten(4, 5).flatten(2, 3)
    return x[:, :, unfold.lead :]


def channel_norm(x: Tensor, weight: Tensor, dim: int) -> Tensor:
    """The autoencoder's norm: unit length over the channels, times sqrt(channels) and `weight`."""
    return F.normalize(x, dim=dim) * (x.shape[dim] ** 0.5 * weight)


def _rows_are_dense(x: Tensor) -> bool:
    """Whether each sample is channels-last without gaps, so that its pixels are rows of channels."""
    channels, _, height, width = x.shape[1:]
    return x.stride()[1:] == (1, height * width * channels, width * channels, channels)


def _frames_are_dense(x: Tensor) -> bool:
    """Whether each frame is channels-last without gaps."""
    channels, _, _, width = x.shape[1:]
    return x.stride(1) == 1 and x.stride()[3:] == (width * channels, channels)


def add_norm_silu_triton(
    values: Tensor,
    bias: Tensor | None,
    shortcut: Tensor | None,
    unfold: Unfold,
    weight: Tensor | None,
    out: Tensor | None,
    keep: bool = True,
) -> None:
    """The kernel, one program for a few pixels; all tensors are channels-last within a sample, `out` in a frame."""
    batch, channels, _, height, width = values.shape
    pixels = values[0, 0].numel()
    block = next_power_of_2(channels)
    rows = max(1, _ELEMENTS // block)
    _kernel[(-(-pixels // rows), batch)](
        values,
        values if bias is None else bias,
        values if shortcut is None else shortcut,
        values if weight is None else weight,
        values if out is None else out,
        pixels,
        height * width,
        width,
        channels,
        channels if shortcut is None else shortcut.shape[1],
        channels**0.5,
        values.stride(0),
        0 if shortcut is None else shortcut.stride(0),
        *((0, 0) if out is None else (out.stride(0), out.stride(2))),
        BIAS=bias is not None,
        SHORTCUT=shortcut is not None,
        NORM=weight is not None,
        KEEP=keep and (bias is not None or shortcut is not None),
        WRITE=out is not None,
        TIME=unfold.time,
        SPACE=unfold.space,
        REPEATS=unfold.repeats,
        LEAD=unfold.lead,
        ROWS=rows,
        BLOCK=block,
        num_warps=_WARPS,
    )


@jit
def _kernel(
    values,
    bias,
    shortcut,
    weight,
    out,
    pixels,
    area,
    width,
    channels,
    shortcut_channels,
    root,
    values_batch,
    shortcut_batch,
    out_batch,
    out_frame,
    BIAS: tl.constexpr,
    SHORTCUT: tl.constexpr,
    NORM: tl.constexpr,
    KEEP: tl.constexpr,
    WRITE: tl.constexpr,
    TIME: tl.constexpr,
    SPACE: tl.constexpr,
    REPEATS: tl.constexpr,
    LEAD: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    sample = tl.program_id(1).to(tl.int64)
    column = tl.arange(0, BLOCK)[None, :]
    inside = (row < pixels) & (column < channels)
    at = row * channels + column
    total = tl.load(values + sample * values_batch + at, mask=inside, other=0.0).to(tl.float32)
    if BIAS:
        total += tl.load(bias + column, mask=column < channels, other=0.0).to(tl.float32)
    if SHORTCUT:
        if TIME * SPACE * REPEATS == 1:
            source = at
        else:
            frame = row // area + LEAD
            y = (row % area) // width
            x = row % width
            cell = (frame // TIME) * (area // (SPACE * SPACE)) + (y // SPACE) * (width // SPACE) + x // SPACE
            part = ((frame % TIME) * SPACE + y % SPACE) * SPACE + x % SPACE
            source = cell * shortcut_channels + (column * (TIME * SPACE * SPACE) + part) // REPEATS
        total += tl.load(shortcut + sample * shortcut_batch + source, mask=inside, other=0.0).to(tl.float32)
    rounded = total.to(values.dtype.element_ty)
    if KEEP:
        tl.store(values + sample * values_batch + at, rounded, mask=inside)
    if WRITE:
        if NORM:
            total = rounded.to(tl.float32)
            length = tl.sqrt(tl.sum(total * total, axis=1))[:, None]
            scale = tl.load(weight + column, mask=column < channels, other=0.0).to(tl.float32) * root
            normed = total / tl.maximum(length, 1e-12) * scale
            total = normed / (1.0 + tl.exp(-normed))
        target = (row // area) * out_frame + (row % area) * channels + column
        tl.store(out + sample * out_batch + target, total.to(out.dtype.element_ty), mask=inside)
