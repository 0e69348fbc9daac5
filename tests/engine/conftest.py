"""Leaves the engine's tests out, with a reason, where PyTorch is not installed."""

from __future__ import annotations

import importlib.util
import os

import pytest

HAS_TORCH = importlib.util.find_spec("torch") is not None
NEEDS_NO_TORCH = {"test_audio.py", "test_config.py"}

if HAS_TORCH:
    import torch

    torch.set_num_threads(1)
    if not torch.cuda.is_available():
        # Read when the kernels are imported: they then run in Triton's interpreter, on the CPU.
        os.environ["TRITON_INTERPRET"] = "1"


class LeftOut(pytest.Module):
    def collect(self):
        pytest.skip("the engine's tests need PyTorch: make test-engine", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    if HAS_TORCH or module_path.name in NEEDS_NO_TORCH:
        return None
    return LeftOut.from_parent(parent, path=module_path)


@pytest.fixture
def diffusers():
    return pytest.importorskip("diffusers", reason="needs diffusers: make test-engine")
