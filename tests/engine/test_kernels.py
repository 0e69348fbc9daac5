"""Every Triton kernel against its reference; without a GPU in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from animacy.engine.kernels import SAME, Unfold, add_norm_modulate, add_norm_silu, dispatch, gated_residual
from animacy.engine.kernels.add_norm_silu import add_norm_silu_reference, add_norm_silu_triton
from animacy.engine.kernels.attend_fp8 import attend_fp8_reference, attend_fp8_triton
from animacy.engine.kernels.fp8 import FP8, quantize_fp8_reference, quantize_fp8_triton
from animacy.engine.kernels.gated_residual import gated_residual_reference, gated_residual_triton
from animacy.engine.kernels.linear_fp8 import Unscaled
from animacy.engine.kernels.mean_squares import mean_squares_reference, mean_squares_triton
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
from animacy.engine.models.linear import FP8Linear
from tests.engine.helpers import DEVICE

pytestmark = pytest.mark.skipif(dispatch.triton is None, reason="Triton is not installed")

ROOT = Path(__file__).parents[2]
DTYPES = [torch.float32, torch.bfloat16]
WHERE_FP8_ROUNDS = pytest.mark.skipif(DEVICE.type == "cpu", reason="Triton's interpreter rounds wrongly to FP8")


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


def unscaled(y):
    """What a layer in FP8 leaves: the scale of each token and the bias are yet to be applied."""
    return Unscaled(y, 1 + 0.3 * values(*y.shape[:-1], 1, seed=7), values(y.shape[-1], dtype=y.dtype, seed=8))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("owed", [False, True])
def test_gated_residual(dtype, groups, owed):
    x, y = values(2, 3, 1100, dtype=dtype), values(2, 3, 1100, dtype=dtype, seed=1)
    y = unscaled(y) if owed else y
    gate = values(1, groups, 1100, seed=2)
    expected = gated_residual_reference(x, y, gate)
    got = gated_residual_triton(x, y, gate)
    assert got is x
    torch.testing.assert_close(got, expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("positions", [(), (2,)], ids=["the same", "one each"])
def test_qk_norm_rope_in_place_in_a_fused_projection(dtype, positions):
    tokens, heads, head_dim = 5, 3, 12
    dim = heads * head_dim
    qkv = values(2, tokens, 3 * dim, dtype=dtype)
    before = qkv.clone()
    q, k, _ = qkv.chunk(3, dim=-1)
    weights = [1 + 0.3 * values(dim, dtype=dtype, seed=seed) for seed in (1, 2)]
    turn = values(*positions, tokens, head_dim // 2, seed=3)
    tables = (turn.cos(), turn.sin())
    expected = [norm_rope_reference(x, w, *tables, 1e-6) for x, w in zip((q, k), weights, strict=True)]
    got = qk_norm_rope_triton(q, k, *weights, *tables, 1e-6)
    for mine, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, reference, **tolerance(dtype))
    assert torch.equal(qkv[..., 2 * dim :], before[..., 2 * dim :])
    assert not torch.equal(qkv[..., :dim], before[..., :dim])


def channels_last(*shape, dtype, seed=0):
    return values(*shape, dtype=dtype, seed=seed).contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("means_of", [mean_squares_reference, mean_squares_triton], ids=["reference", "triton"])
def test_qk_norm_rope_of_heads_that_are_spread_over_ranks(dtype, means_of):
    tokens, heads, head_dim, ranks = 5, 6, 12, 3
    dim = heads * head_dim
    q, k, _ = values(2, tokens, 3 * dim, dtype=dtype).chunk(3, dim=-1)
    weights = [1 + 0.3 * values(dim, dtype=dtype, seed=seed) for seed in (1, 2)]
    turn = values(tokens, head_dim // 2, seed=3)
    tables = (turn.cos(), turn.sin())
    expected = [norm_rope_reference(x, w, *tables, 1e-6) for x, w in zip((q, k), weights, strict=True)]
    parts = [[one.chunk(ranks, dim=-1)[rank] for one in (q, k, *weights)] for rank in range(ranks)]
    means = sum(means_of(q, k, dim) for q, k, *_ in parts)
    got = [qk_norm_rope_triton(*part, *tables, 1e-6, means) for part in parts]
    for mine, reference in zip(zip(*got, strict=True), expected, strict=True):
        torch.testing.assert_close(torch.cat(mine, dim=-1), reference, **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(
    ("shortcut", "unfold"),
    [(None, SAME), ((20, 3, 2, 6), SAME), ((20, 2, 1, 3), Unfold(2, 2, 8, 1)), ((40, 3, 1, 3), Unfold(1, 2, 2))],
    ids=["none", "same", "time and space", "space"],
)
def test_add_norm_silu_writes_into_the_window_of_a_convolution(dtype, batch, norm, shortcut, unfold):
    x = channels_last(batch, 20, 3, 2, 6, dtype=dtype)
    bias = values(20, dtype=dtype, seed=3)
    beside = None if shortcut is None else channels_last(batch, *shortcut, dtype=dtype, seed=4)
    weight = 1 + 0.3 * values(20, 1, 1, 1, seed=1) if norm else None
    window = channels_last(batch, 20, 5, 2, 6, dtype=dtype, seed=2)
    past = window[:, :, :2].clone()
    summed, expected = x.clone(), torch.empty_like(x)
    add_norm_silu_reference(summed, bias, beside, unfold, weight, expected)
    untouched = x.clone()
    add_norm_silu_triton(untouched, bias, beside, unfold, weight, window[:, :, 2:], keep=False)
    assert torch.equal(untouched, x)
    torch.testing.assert_close(window[:, :, 2:], expected, **tolerance(dtype))
    add_norm_silu_triton(x, bias, beside, unfold, weight, window[:, :, 2:])
    torch.testing.assert_close(window[:, :, 2:], expected, **tolerance(dtype))
    torch.testing.assert_close(x, summed, **tolerance(dtype))
    assert torch.equal(window[:, :, :2], past)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_add_norm_silu_writes_between_the_rows_of_neighbours(dtype):
    x, weight = channels_last(2, 20, 3, 4, 6, dtype=dtype), 1 + 0.3 * values(20, 1, 1, 1, seed=1)
    window = channels_last(2, 20, 5, 6, 6, dtype=dtype, seed=2)
    expected = window.clone()
    add_norm_silu_reference(x, None, None, SAME, weight, expected[:, :, 2:, 1:-1])
    add_norm_silu_triton(x, None, None, SAME, weight, window[:, :, 2:, 1:-1])
    torch.testing.assert_close(window, expected, **tolerance(dtype))


def test_norm_of_nothing_is_nothing():
    x = torch.zeros(1, 4, 1, 2, 2, device=DEVICE)
    out = torch.ones_like(x)
    add_norm_silu(x, None, None, SAME, torch.ones(4, device=DEVICE), out)
    assert torch.equal(out, torch.zeros_like(x))


@WHERE_FP8_ROUNDS
def test_merge_splits_rounds_to_fp8():
    parts, sums = values(3, 2, 5, 4, 8), values(3, 2, 4, 5, seed=1)
    got = merge_splits_triton(parts, sums, fp8=True)
    torch.testing.assert_close(
        got.values.float() * got.scale, merge_splits_reference(parts, sums), rtol=0.07, atol=0.01
    )


@WHERE_FP8_ROUNDS
def test_norm_modulate_rounds_to_fp8():
    x, y = values(2, 6, 40) * 3 + 1, values(2, 6, 40, seed=5)
    gate, (scale, shift) = values(1, 3, 40, seed=6), values(2, 1, 2, 40, seed=1).unbind(2)
    _, expected = add_norm_modulate_reference(x, y, gate, scale, shift, 1e-6, 1.0)
    got = norm_modulate_triton(x.clone(), scale, shift, 1e-6, 1.0, y, gate, fp8=True)
    torch.testing.assert_close(got.values.float() * got.scale, expected, rtol=0.07, atol=0.01)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("owed", [True, False])
def test_add_norm_modulate(dtype, gated, owed):
    x, y = values(2, 6, 40, dtype=dtype) * 3 + 1, values(2, 6, 40, dtype=dtype, seed=5)
    gate = values(1, 3, 40, seed=6) if gated else None
    if owed:
        y = unscaled(y)
    elif not gated:
        y = y[:, :1].expand_as(x)
    scale, shift = values(2, 1, 2, 40, seed=1).unbind(2)
    expected = add_norm_modulate_reference(x, y, gate, scale, shift, 1e-6, 0.0)
    got = x.clone()
    normed = norm_modulate_triton(got, scale, shift, 1e-6, 0.0, y, gate)
    for mine, reference in zip((got, normed), expected, strict=True):
        torch.testing.assert_close(mine, reference, **tolerance(dtype))


@pytest.mark.parametrize("cached", DTYPES, ids=str)
def test_store_rows_of_a_fused_projection(cached):
    qkv = values(2, 3, 3 * 24, dtype=torch.bfloat16)
    _, k, v = qkv.chunk(3, dim=-1)
    rows = torch.tensor([2, 3, 4, 12, 10, 11], device=DEVICE)
    mine, reference = ([torch.zeros(16, 24, device=DEVICE).to(cached) for _ in range(2)] for _ in range(2))
    store_rows_triton(k, v, *mine, rows)
    store_rows_reference(k, v, *reference, rows)
    for a, b in zip(mine, reference, strict=True):
        torch.testing.assert_close(a.float(), b.float(), rtol=0, atol=0)


def on_grid(*shape, dtype=torch.float32, seed=0):
    """What FP8 can hold: Triton's interpreter rounds wrongly to it."""
    return values(*shape, seed=seed).to(FP8).to(dtype)


def test_store_fp8_turns_values_on_the_way():
    qkv = on_grid(2, 70, 3 * 48, dtype=torch.bfloat16)
    q, k, v = qkv.chunk(3, dim=-1)
    rows = torch.cat([torch.arange(70) + start for start in (80, 160 + 7)]).to(DEVICE)
    stored = []
    for store in (store_fp8_triton, store_fp8_reference):
        keys, turned = (torch.zeros(*shape, device=DEVICE).to(FP8) for shape in ((3, 160, 48), (3, 48, 160)))
        queries = store(q, k, v, keys, turned, rows)
        assert queries.dtype == FP8 and torch.equal(queries.to(q.dtype), q)
        stored.append((keys.float(), turned.float()))
    for mine, reference in zip(*stored, strict=True):
        assert torch.equal(mine, reference)
    keys, turned = stored[0]
    assert torch.equal(keys[0, 80:150], k[0].float()) and torch.equal(turned[1, :, 7:77], v[1].float().T)
    assert keys.count_nonzero() == k.count_nonzero()


@pytest.mark.parametrize("splits", [1, 2, 4])
@pytest.mark.parametrize("filled", [None, 100], ids=["all", "some"])
def test_attention_in_fp8_is_near_the_one_over_the_same_rounded_keys(splits, filled):
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    batch, tokens, seen, heads, head_dim = 2, 70, 272, 2, 64
    q, k = (values(batch, count, heads, head_dim, seed=count).to(FP8) for count in (tokens, seen))
    v = values(batch, heads, head_dim, seen, seed=2).to(FP8).permute(0, 3, 1, 2)
    mask = None
    if filled is not None:
        mask = torch.arange(seen, device=DEVICE) < torch.tensor([filled, seen], device=DEVICE).view(2, 1, 1, 1)
    expected, got = (
        merge_splits_reference(*attend(q, k, v, dtype, mask, *more)).float()
        for attend, more in ((attend_fp8_reference, ()), (attend_fp8_triton, (splits,)))
    )
    # Less on a GPU: the interpreter rounds the weights of the softmax wrongly.
    assert (got - expected).norm() / expected.norm() < (0.04 if DEVICE.type == "cuda" else 0.1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rotate_keys_turns_each_sample_by_its_own_angle(dtype):
    keys = values(3, 2, 8, 2, 12, dtype=dtype)
    turn = values(2, 2, seed=1)
    mine, reference = torch.zeros_like(keys), torch.zeros_like(keys)
    rotate_keys_triton(keys[:, :, :5], turn.cos(), turn.sin(), mine[:, :, :5])
    rotate_keys_reference(keys[:, :, :5], turn.cos(), turn.sin(), reference[:, :, :5])
    torch.testing.assert_close(mine, reference, **tolerance(dtype))
    rotate_keys_triton(keys, turn.cos(), turn.sin(), keys)
    torch.testing.assert_close(keys[:, :, :5], reference[:, :, :5], **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_split_attention_is_the_whole_one(dtype):
    q, k, v = (values(2, tokens, 3, 8, dtype=dtype, seed=tokens) for tokens in (5, 12, 13))
    v = v[:, :12]
    scores = torch.einsum("bqhd,bkhd->bhqk", q.float(), k.float())
    expected = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v.float())
    parts = []
    for score, part in zip(scores.split(4, dim=-1), v.split(4, dim=1), strict=True):
        parts.append(torch.einsum("bhqk,bkhd->bqhd", score.softmax(-1), part.float()).to(dtype))
    sums = torch.stack([score.logsumexp(-1) for score in scores.split(4, dim=-1)])
    for merge in (merge_splits_triton, merge_splits_reference):
        for axis in (0, 1):  # parts of samples, or samples in parts
            either = (torch.stack(parts, axis).movedim(axis, 0), sums.movedim(0, axis).contiguous().movedim(axis, 0))
            torch.testing.assert_close(merge(*either).float(), expected.flatten(2), **tolerance(dtype))


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
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize(
    "quantize",
    [
        quantize_fp8_reference,
        pytest.param(quantize_fp8_triton, marks=WHERE_FP8_ROUNDS),
    ],
)
def test_quantize_fp8_is_near(quantize, dtype, gelu):
    x = values(2, 3, 72, dtype=dtype) * torch.tensor([1e-3, 1.0, 300.0], device=DEVICE).view(1, 3, 1).to(dtype)
    got, scale = quantize(x, gelu)
    expected = torch.nn.functional.gelu(x.float(), approximate="tanh") if gelu else x.float()
    error = (got.float() * scale - expected).abs()
    assert (error <= 0.0625 * expected.abs() + scale * 2**-9 + 1e-6).all()


@pytest.mark.parametrize("owing", [False, True])
def test_a_linear_layer_in_fp8_is_near_the_whole_one(owing):
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    layer = torch.nn.Linear(96, 48).to(DEVICE, dtype).requires_grad_(False)
    x = values(2, 5, 96, dtype=dtype) * torch.tensor([1e-3, 1, 30, 1, 1], device=DEVICE, dtype=dtype).view(1, 5, 1)
    for gelu in (False, True):
        expected = layer(torch.nn.functional.gelu(x, approximate="tanh") if gelu else x).float()
        got = FP8Linear(layer, owing)(x, gelu)
        got = got.whole() if owing else got.float()
        error = (got - expected).norm(dim=-1) / expected.norm(dim=-1)
        assert error.max() < 0.06


def test_the_kernels_compile_for_a_gpu(tmp_path):
    """The interpreter takes more than the compiler does."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.engine.compile_kernels"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 11


def test_training_goes_through_the_references():
    x = torch.zeros(1, requires_grad=True)
    assert not dispatch.on_gpu(x)


@pytest.mark.parametrize("add", [gated_residual, lambda x, y, gate: add_norm_modulate(x, y, gate, gate, gate, 1e-6)[1]])
def test_a_branch_can_be_trained_where_nothing_else_is(add):
    x, gate = values(1, 3, 16), values(1, 1, 16, seed=2)
    y = values(1, 3, 16, seed=1).requires_grad_()
    add(x, y, gate).sum().backward()
    assert y.grad.abs().sum() > 0
