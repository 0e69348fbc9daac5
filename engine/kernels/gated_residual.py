"""The gated residual of a diffusion transformer (adaLN-Zero of DiT, arXiv:2212.09748)."""

import torch
from torch import Tensor

from animacy.engine.kernels.dispatch import jit, on_gpu, tl
from animacy.engine.kernels.linear_fp8 import Unscaled, values_of

_BLOCK = 1024


def gated_residual(x: Tensor, y: Tensor | Unscaled, gate: Tensor) -> Tensor:
    """`x + y * gate`, computed in float32; may overwrite `x`.

    Args:
        x: (batch, tokens, dim), the residual stream.
        y: like `x`, what a layer adds; may be owed its scale.
        gate: (batch, groups, dim), see `norm_modulate`.

    Returns:
        The new residual stream; on the GPU it is `x` itself.
    """
    take = gated_residual_triton if on_gpu(x, values_of(y), gate) and x.is_contiguous() else gated_residual_reference
    return take(x, y, gate)


def gated_residual_reference(x: Tensor, y: Tensor | Unscaled, gate: Tensor) -> Tensor:
    """What the kernel computes, in PyTorch, without overwriting anything."""
    runs = (gate.shape[1], -1)
    added = y.whole() if isinstance(y, Unscaled) else y.float()
    grouped = torch.addcmul(x.float().unflatten(1, runs), added.unflatten(1, runs), gate.unsqueeze(2).float())
    return grouped.flatten(1, 2).type_as(x)


def gated_residual_triton(x: Tensor, y: Tensor | Unscaled, gate: Tensor) -> Tensor:
    """The kernel, in place, one program a piece of a token."""
    batch, tokens, dim = x.shape
    gate = gate.expand(batch, -1, -1)
    grid = (batch * tokens, -(-dim // _BLOCK))
    values, y_scale, y_bias = y if isinstance(y, Unscaled) else (y, gate, gate)
    _kernel[grid](
        x,
        values.contiguous(),
        y_scale,
        y_bias,
        gate,
        tokens,
        tokens // gate.shape[1],
        dim,
        *gate.stride()[:2],
        SCALED=isinstance(y, Unscaled),
        BLOCK=_BLOCK,
    )
    return x


@jit
def _kernel(
    x,
    y,
    y_scale,
    y_bias,
    gate,
    tokens,
    run,
    dim,
    gate_batch,
    gate_group,
    SCALED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < dim
    at = row * dim + column
    weight = gate + (row // tokens) * gate_batch + ((row % tokens) // run) * gate_group
    residual = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    added = tl.load(y + at, mask=inside, other=0.0).to(tl.float32)
    if SCALED:
        added *= tl.load(y_scale + row)
        added += tl.load(y_bias + column, mask=inside, other=0.0).to(tl.float32)
    strength = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(x + at, (residual + added * strength).to(x.dtype.element_ty), mask=inside)
