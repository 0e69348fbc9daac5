"""Every Triton kernel at a preset's shapes, beside its PyTorch reference, eager and compiled.

Calls are captured in a CUDA graph and replayed without a pause, as the engine runs them: what is measured is the GPU
alone, with inputs that are in its L2 cache as far as they fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from animacy.engine.bench.workload import Workload
from animacy.engine.kernels.add_norm_silu import SAME, add_norm_silu_reference, add_norm_silu_triton
from animacy.engine.kernels.fp8 import FP8, quantize_fp8_reference, quantize_fp8_triton
from animacy.engine.kernels.gated_residual import gated_residual_reference, gated_residual_triton
from animacy.engine.kernels.linear_gelu import linear_gelu as fused_linear_gelu
from animacy.engine.kernels.merge_splits import merge_splits_reference, merge_splits_triton
from animacy.engine.kernels.norm_modulate import (
    add_norm_modulate_reference,
    norm_modulate_reference,
    norm_modulate_triton,
)
from animacy.engine.kernels.qk_norm_rope import norm_rope_reference, qk_norm_rope_triton
from animacy.engine.kernels.rotate_keys import rotate_keys_reference, rotate_keys_triton
from animacy.engine.kernels.store_fp8 import store_fp8_reference, store_fp8_triton
from animacy.engine.kernels.store_rows import store_rows_reference, store_rows_triton
from animacy.engine.models.attention import attention

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


def add_norm_modulate(work: Workload) -> Case:
    """Between two branches of a block: the residual sum and the next norm at once."""
    shape = _tokens(work)
    x, y = (_random(*shape, device=work.device) for _ in range(2))
    gate, scale, shift = (_random(1, 1, shape[2], device=work.device, dtype=torch.float32) for _ in range(3))
    arguments = (x, y, gate, scale, shift, work.preset.dit.eps)
    return Case("add_norm_modulate", shape, _add_norm_modulate_triton, add_norm_modulate_reference, arguments)


def _add_norm_modulate_triton(
    x: Tensor, y: Tensor, gate: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    return x, norm_modulate_triton(x, scale, shift, eps, 1.0, y, gate)


def linear_gelu(work: Workload) -> Case:
    """The first half of each feed-forward."""
    batch, tokens, dim = _tokens(work)
    out = work.preset.dit.ffn_dim
    weight = _random(out, dim, device=work.device) / dim**0.5
    arguments = (_random(batch, tokens, dim, device=work.device), weight, _random(out, device=work.device))
    return Case("linear_gelu", (batch, tokens, out), fused_linear_gelu, _linear_gelu_reference, arguments)


def _linear_gelu_reference(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(F.linear(x, weight, bias), approximate="tanh")


def merge_splits(work: Workload) -> Case:
    """After attention over keys in two parts."""
    dit = work.preset.dit
    batch, tokens, _ = _tokens(work)
    shape = (2, batch, tokens, dit.num_heads, dit.head_dim)
    sums = _random(2, batch, dit.num_heads, tokens, device=work.device, dtype=torch.float32)
    arguments = (_random(*shape, device=work.device), sums)
    return Case("merge_splits", shape, merge_splits_triton, merge_splits_reference, arguments)


def rotate_keys(work: Workload) -> Case:
    """Before each iteration, for the sink of every layer."""
    dit, sink = work.preset.dit, max(1, work.preset.stream.sink)
    shape = (
        dit.num_layers, work.sessions, sink * work.preset.tokens_per_frame(*work.size), dit.num_heads, dit.head_dim
    )  # fmt: skip
    keys = _random(*shape, device=work.device)
    time_half = dit.head_dim // 2 - 2 * (dit.head_dim // 6)
    angles = _random(work.sessions, time_half, device=work.device, dtype=torch.float32)
    arguments = (keys, angles.cos(), angles.sin(), torch.empty_like(keys))
    return Case("rotate_keys", shape, rotate_keys_triton, rotate_keys_reference, arguments)


def store_rows(work: Workload) -> Case:
    """In each block: new keys and values, slices of the fused projection, into the cache."""
    batch, tokens, dim = shape = _tokens(work)
    slots = work.preset.stream.sink + work.preset.stream.window
    k, v = _random(batch, tokens, 3 * dim, device=work.device).chunk(3, dim=-1)[1:]
    keys = torch.zeros(batch * slots * tokens, dim, dtype=torch.bfloat16, device=work.device)
    arguments = (k, v, keys, torch.zeros_like(keys), torch.arange(batch * tokens, device=work.device))
    return Case("store_rows", shape, store_rows_triton, store_rows_reference, arguments)


def store_fp8(work: Workload) -> Case:
    """As `store_rows`, for a cache in FP8."""
    batch, tokens, dim = shape = _tokens(work)
    slots = (work.preset.stream.sink + work.preset.stream.window) * tokens
    qkv = _random(batch, tokens, 3 * dim, device=work.device).chunk(3, dim=-1)
    keys = torch.zeros(batch, slots, dim, device=work.device).to(FP8)
    rows = (
        slots * torch.arange(batch, device=work.device).unsqueeze(1) + torch.arange(tokens, device=work.device)
    ).flatten()
    arguments = (*qkv, keys, keys.transpose(1, 2).contiguous(), rows)
    return Case("store_fp8", shape, store_fp8_triton, store_fp8_reference, arguments)


def attend_fp8(work: Workload) -> Case:
    """In each block where the cache is in FP8, beside what attends to the same in bfloat16."""
    dit, stream = work.preset.dit, work.preset.stream
    batch, tokens, _ = _tokens(work)
    seen = (stream.sink + stream.window) * tokens
    rounded = [_random(batch, n, dit.num_heads, dit.head_dim, device=work.device).to(FP8) for n in (tokens, seen, seen)]
    whole = [one.to(torch.bfloat16) for one in rounded]
    rounded[2] = rounded[2].movedim(1, 3).contiguous().movedim(3, 1)
    shape = (batch, tokens, seen, dit.num_heads, dit.head_dim)
    return Case("attend_fp8", shape, _attention_first, _attention_last, (*rounded, *whole))


def _attention_first(q8: Tensor, k8: Tensor, v8: Tensor, q: Tensor, k: Tensor, v: Tensor) -> object:
    return attention(q8, k8, v8, dtype=q.dtype)


def _attention_last(q8: Tensor, k8: Tensor, v8: Tensor, q: Tensor, k: Tensor, v: Tensor) -> object:
    return attention(q, k, v)


def add_norm_silu(work: Workload) -> Case:
    """Between the decoder's last and largest convolutions, into the window of the one that follows."""
    vae = work.preset.vae
    height, width = (side // vae.patch_size for side in work.size)
    shape = (work.sessions, vae.decoder_dim * vae.dim_mult[0], vae.temporal_factor, height, width)
    values, shortcut = (
        _random(*shape, device=work.device).contiguous(memory_format=torch.channels_last_3d) for _ in range(2)
    )
    bias, weight = (_random(shape[1], device=work.device) for _ in range(2))
    arguments = (values, bias, shortcut, SAME, weight, torch.empty_like(values))
    return Case("add_norm_silu", shape, add_norm_silu_triton, add_norm_silu_reference, arguments)


def quantize_fp8(work: Workload) -> Case:
    """Before a matrix product in FP8."""
    shape = _tokens(work)
    arguments = (_random(*shape, device=work.device),)
    return Case("quantize_fp8", shape, quantize_fp8_triton, quantize_fp8_reference, arguments)


CASES = (
    norm_modulate,
    add_norm_modulate,
    gated_residual,
    qk_norm_rope,
    store_rows,
    rotate_keys,
    merge_splits,
    linear_gelu,
    add_norm_silu,
    quantize_fp8,
    store_fp8,
    attend_fp8,
)
