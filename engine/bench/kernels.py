"""Every Triton kernel at a preset's shapes, beside its PyTorch reference, eager and compiled.

Calls are captured in a CUDA graph and replayed without a pause, as the engine runs them: what is measured is the GPU
alone, with inputs that are in its L2 cache as far as they fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from animacy.engine.bench.workload import Workload
from animacy.engine.kernels.fp8 import quantize_fp8_reference, quantize_fp8_triton
from animacy.engine.kernels.gated_residual import gated_residual_reference, gated_residual_triton
from animacy.engine.kernels.norm_modulate import norm_modulate_reference, norm_modulate_triton
from animacy.engine.kernels.norm_silu import norm_silu_reference, norm_silu_triton
from animacy.engine.kernels.qk_norm_rope import norm_rope_reference, qk_norm_rope_triton

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Case:
    """A kernel with its arguments, and the reference with the same; both write no more than the kernel does."""

    name: str
    shape: tuple[int, ...]
    kernel: Callable[..., object]
    reference: Callable[..., object]
    arguments: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Timed:
    """Microseconds a call, (median, 95th percentile) of each."""

    name: str
    shape: tuple[int, ...]
    kernel: tuple[float, float]
    eager: tuple[float, float]
    compiled: tuple[float, float]


def measure(work: Workload, budget_s: float, say: Callable[[str], None]) -> Iterator[Timed]:
    """Measure one kernel after the other while the budget lasts; on a CPU there is nothing to measure."""
    if not work.on_gpu:
        say("kernels: left out, there is no GPU, and the times of Triton's interpreter mean nothing")
        return
    end = time.monotonic() + budget_s
    for make in CASES:
        if time.monotonic() > end:
            say(f"kernels: the rest is left out, the budget of {budget_s:g} s is used up")
            return
        say(f"kernel {make.__name__}")
        try:
            timed = _timed(make(work))
        except Exception as error:  # one kernel that fails must not lose the others
            say(f"kernel {make.__name__} failed: {type(error).__name__}: {error}")
        else:
            yield timed


def _timed(case: Case) -> Timed:
    # Compiled anew for each shape, as the kernels are.
    compiled = torch.compile(case.reference, dynamic=False)
    calls = (case.kernel, case.reference, compiled)
    return Timed(case.name, case.shape, *(_microseconds(lambda call=call: call(*case.arguments)) for call in calls))


@torch.inference_mode()
def _microseconds(call: Call) -> tuple[float, float]:
    """Median and 95th percentile of a call's time on the GPU."""
    from triton.testing import do_bench_cudagraph

    for _ in range(3):
        call()
    median, p95 = do_bench_cudagraph(call, quantiles=[0.5, 0.95])
    return 1000 * median, 1000 * p95


def _tokens(work: Workload) -> tuple[int, int, int]:
    preset = work.preset
    return work.sessions, preset.stream.chunk * preset.tokens_per_frame(*work.size), preset.dit.dim


def _random(*shape: int, device: torch.device, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(shape, device=device, dtype=dtype)


def norm_modulate(work: Workload) -> Case:
    """Before each attention and feed-forward."""
    shape = _tokens(work)
    scale, shift = (_random(1, 1, work.preset.dit.dim, device=work.device, dtype=torch.float32) for _ in range(2))
    arguments = (_random(*shape, device=work.device), scale, shift, work.preset.dit.eps)
    return Case("norm_modulate", shape, norm_modulate_triton, norm_modulate_reference, arguments)


def gated_residual(work: Workload) -> Case:
    """After each attention and feed-forward."""
    shape = _tokens(work)
    gate = _random(1, 1, work.preset.dit.dim, device=work.device, dtype=torch.float32)
    arguments = (_random(*shape, device=work.device), _random(*shape, device=work.device), gate)
    return Case("gated_residual", shape, gated_residual_triton, gated_residual_reference, arguments)


def qk_norm_rope(work: Workload) -> Case:
    """Before self attention, on slices of the fused projection."""
    batch, tokens, dim = shape = _tokens(work)
    q, k, _ = _random(batch, tokens, 3 * dim, device=work.device).chunk(3, dim=-1)
    weights = tuple(1 + 0.2 * _random(dim, device=work.device) for _ in range(2))
    angles = _random(tokens, work.preset.dit.head_dim // 2, device=work.device, dtype=torch.float32)
    arguments = (q, k, *weights, angles.cos(), angles.sin(), work.preset.dit.eps)
    return Case("qk_norm_rope", shape, qk_norm_rope_triton, _qk_norm_rope_reference, arguments)


def _qk_norm_rope_reference(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    return norm_rope_reference(q, q_weight, cos, sin, eps), norm_rope_reference(k, k_weight, cos, sin, eps)


def norm_silu(work: Workload) -> Case:
    """Before the decoder's last and largest convolutions, into the window of the one that follows."""
    vae = work.preset.vae
    height, width = (side // vae.patch_size for side in work.size)
    shape = (work.sessions, vae.decoder_dim * vae.dim_mult[0], vae.temporal_factor, height, width)
    last = torch.channels_last_3d
    x = _random(*shape, device=work.device).contiguous(memory_format=last)
    arguments = (x, _random(shape[1], device=work.device), torch.empty_like(x))
    return Case("norm_silu", shape, norm_silu_triton, norm_silu_reference, arguments)


def quantize_fp8(work: Workload) -> Case:
    """Before a matrix product in FP8."""
    shape = _tokens(work)
    arguments = (_random(*shape, device=work.device),)
    return Case("quantize_fp8", shape, quantize_fp8_triton, quantize_fp8_reference, arguments)


CASES = (norm_modulate, gated_residual, qk_norm_rope, norm_silu, quantize_fp8)
