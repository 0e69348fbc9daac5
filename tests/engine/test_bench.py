"""The benchmark on a tiny preset and the processor: that it runs through, and what its report says."""

from __future__ import annotations

import json

import pytest
import torch

from animacy.engine.bench import kernels, timeline
from animacy.engine.bench.command import run
from animacy.engine.bench.measure import Spread, time_calls
from animacy.engine.bench.report import Table
from animacy.engine.bench.workload import Workload, workload
from animacy.engine.errors import EngineError
from tests.engine.helpers import DEVICE, TINY

CPU = torch.device("cpu")


def bench(folder, preset="tiny", **options):
    lines = []
    wanted = {"gpus": 0, "seconds": 0.0, "sessions": 2, "baseline": True, "kernels": True, "budget": 20.0} | options
    page = run(preset, output=folder, say=lines.append, **wanted)
    return page.read_text(), json.loads((folder / "report.json").read_text()), lines


def test_a_whole_run(diffusers, tmp_path):
    page, data, lines = bench(tmp_path)
    for part in ("tiny at 64x64, 2 sessions", "no GPU", "triton", "animacy bench engine --preset tiny --gpus 0"):
        assert part in page
    sections = data["sections"]
    assert list(sections) == ["Memory planned", "The engine", "Kernels", "Beside diffusers"]
    figures = sections["The engine"]["data"]
    assert figures["iterations"] >= 20 and figures["frames_per_iteration"] == 4
    assert figures["frame_ms"] == pytest.approx(figures["interval"]["p50"] / 4)
    assert figures["first"]["response"]["p50"] > 0
    assert (tmp_path / "timeline.png").stat().st_size > 5000 and "(timeline.png)" in page
    first = sections["Beside diffusers"]["data"][0]
    assert first["ours_ms"] == figures["interval"]["p50"] and first["decode"]["p50"] > 0
    for part in ("kernels: left out", "diffusers compiled: left out"):
        assert part in page and any(part in line for line in lines)


def test_a_part_that_fails_is_told_and_loses_no_other(diffusers, tmp_path):
    """diffusers has no transformer without text, and this preset has none."""
    page, data, _ = bench(tmp_path, "tiny-21", kernels=False)
    assert "Failed: EngineError: diffusers' transformer reads a prompt" in page
    assert data["sections"]["The engine"]["data"]["iterations"] >= 20
    assert "--no-kernels" in page and "Kernels" not in data["sections"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "tinny"}, "no engine preset"),
        ({"gpus": 99}, "99 GPUs were asked for"),
        ({"sessions": 0}, "1 or more"),
        ({"height": 70}, "multiples of"),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(options, message, tmp_path):
    with pytest.raises(EngineError, match=message):
        bench(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", kernels.CASES, ids=lambda make: make.__name__)
def test_a_kernel_and_its_reference_are_given_the_same_work(make):
    case = make(Workload(TINY, (64, 64), 2, (DEVICE,)))
    results = []
    for function in (case.kernel, case.reference):
        copies = [one.clone() if isinstance(one, torch.Tensor) else one for one in case.arguments]
        done = function(*copies)
        # What returns nothing writes to its arguments.
        told = copies if done is None else done if isinstance(done, tuple) else (done,)
        results.append([one for one in told if isinstance(one, torch.Tensor)])
    for mine, reference in zip(*results, strict=True):
        assert mine.shape == reference.shape
        if mine.dtype == torch.bfloat16:
            torch.testing.assert_close(mine, reference, rtol=2e-2, atol=2e-2)


def test_percentiles_of_times():
    spread = Spread.of(list(range(101)))
    assert (spread.count, spread.p50, spread.p95, spread.p99, spread.max) == (101, 50, 95, 99, 100)


def test_a_budget_ends_measuring_but_not_before_there_is_something_to_tell():
    assert len(time_calls(lambda: None, CPU, repeats=10, budget_s=0.0)) == 3
    assert len(time_calls(lambda: None, CPU, repeats=10, budget_s=60.0)) == 10


def test_a_timeline_of_two_devices_and_of_nothing(tmp_path):
    bars = [("cuda:0 denoise", 5.0, 9.0, "0"), ("cuda:1 decode", 9.0, 12.0, "0"), ("cuda:0 denoise", 9.0, 13.0, "1")]
    for name, content in (("full.png", bars), ("empty.png", [])):
        timeline.draw(content, tmp_path / name, "overlap")
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_cells_with_bars_stay_cells():
    assert Table(("a",), (("x|y",),)).markdown().splitlines()[-1] == r"| x\|y |"


def test_the_processor_is_taken_when_no_gpu_is_asked_for():
    assert workload("tiny", 0, 1, None, None).devices == (CPU,)
