"""Every Triton kernel against its reference; without a GPU in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from animacy.engine.kernels import dispatch
from animacy.engine.kernels.fp8 import FP8, quantize_fp8_reference, quantize_fp8_triton
from animacy.engine.kernels.gated_residual import gated_residual_reference, gated_residual_triton
from animacy.engine.kernels.norm_modulate import norm_modulate_reference, norm_modulate_triton
from animacy.engine.kernels.norm_silu import norm_silu, norm_silu_reference, norm_silu_triton
from animacy.engine.kernels.qk_norm_rope import norm_rope_reference, qk_norm_rope_triton
from tests.engine.helpers import DEVICE

pytestmark = pytest.mark.skipif(dispatch.triton is None, reason="Triton is not installed")

ROOT = Path(__file__).parents[2]
DTYPES = [torch.float32, torch.bfloat16]


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}


def values(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("modulated", [1, 2], ids=["one for all", "one each"])
def test_norm_modulate(dtype, groups, modulated):
    x = values(2, 6, 40, dtype=dtype) * 3 + 1
    scale, shift = values(modulated, groups, 2, 40, seed=1).unbind(2)
    expected = norm_modulate_reference(x, scale, shift, 1e-6)
    torch.testing.assert_close(norm_modulate_triton(x, scale, shift, 1e-6), expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("groups", [1, 3])
def test_gated_residual(dtype, groups):
    x, y = values(2, 3, 1100, dtype=dtype), values(2, 3, 1100, dtype=dtype, seed=1)
    gate = values(1, groups, 1100, seed=2)
    expected = gated_residual_reference(x, y, gate)
    got = gated_residual_triton(x, y, gate)
    assert got is x
    torch.testing.assert_close(got, expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_qk_norm_rope_in_place_in_a_fused_projection(dtype):
    tokens, heads, head_dim = 5, 3, 12
    dim = heads * head_dim
    qkv = values(2, tokens, 3 * dim, dtype=dtype)
    before = qkv.clone()
    q, k, _ = qkv.chunk(3, dim=-1)
    weights = [1 + 0.3 * values(dim, dtype=dtype, seed=seed) for seed in (1, 2)]
    turn = values(tokens, head_dim // 2, seed=3)
    tables = (turn.cos(), turn.sin())
    expected = [norm_rope_reference(x, w, *tables, 1e-6) for x, w in zip((q, k), weights, strict=True)]
    got = qk_norm_rope_triton(q, k, *weights, *tables, 1e-6)
    for mine, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, reference, **tolerance(dtype))
    assert torch.equal(qkv[..., 2 * dim :], before[..., 2 * dim :])
    assert not torch.equal(qkv[..., :dim], before[..., :dim])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_norm_silu_writes_into_the_window_of_a_convolution(dtype, batch):
    x = values(batch, 20, 3, 2, 5, dtype=dtype).contiguous(memory_format=torch.channels_last_3d)
    weight = 1 + 0.3 * values(20, 1, 1, 1, seed=1)
    window = values(batch, 20, 5, 2, 5, dtype=dtype, seed=2).contiguous(memory_format=torch.channels_last_3d)
    past = window[:, :, :2].clone()
    expected = norm_silu_reference(x, weight, torch.empty_like(x))
    norm_silu_triton(x, weight, window[:, :, 2:])
    torch.testing.assert_close(window[:, :, 2:], expected, **tolerance(dtype))
    assert torch.equal(window[:, :, :2], past)


def test_norm_of_nothing_is_nothing():
    x = torch.zeros(1, 4, 1, 2, 2, device=DEVICE)
    out = norm_silu(x, torch.ones(4, device=DEVICE), torch.ones_like(x))
    assert torch.equal(out, torch.zeros_like(x))


def test_quantize_fp8_gives_back_what_fp8_can_hold():
    """On its own grid, where nothing is rounded: Triton's interpreter loses the carry of a rounded mantissa."""
    bits = torch.randint(8, 0x7F, (2, 3, 72), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    grid = bits.view(FP8).float() * torch.sign(torch.randn(bits.shape) + 0.1)
    grid[..., 5] = torch.finfo(FP8).max
    unit = torch.tensor([2.0**-12, 1.0, 2.0**7]).view(1, 3, 1)
    got, scale = quantize_fp8_triton((grid * unit).to(DEVICE))
    assert torch.equal(got.float().cpu(), grid)
    torch.testing.assert_close(scale.cpu(), unit.expand(2, 3, 1))


def test_quantize_fp8_of_zeros():
    got, scale = quantize_fp8_triton(torch.zeros(2, 9, device=DEVICE))
    assert torch.equal(got.float().cpu(), torch.zeros(2, 9)) and (scale > 0).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "quantize",
    [
        quantize_fp8_reference,
        pytest.param(
            quantize_fp8_triton,
            marks=pytest.mark.skipif(DEVICE.type == "cpu", reason="Triton's interpreter rounds wrongly to FP8"),
        ),
    ],
)
def test_quantize_fp8_is_near(quantize, dtype):
    x = values(2, 3, 72, dtype=dtype) * torch.tensor([1e-3, 1.0, 300.0], device=DEVICE).view(1, 3, 1).to(dtype)
    got, scale = quantize(x)
    error = (got.float() * scale - x.float()).abs()
    assert (error <= 0.0625 * x.float().abs() + scale * 2**-9).all()


def test_the_kernels_compile_for_a_gpu(tmp_path):
    """The interpreter takes more than the compiler does."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.engine.compile_kernels"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5


def test_training_goes_through_the_references():
    x = torch.zeros(1, requires_grad=True)
    assert not dispatch.on_gpu(x)
