"""Fused elementwise work of the models: each file holds a Triton kernel, its PyTorch reference, and who picks which."""

from __future__ import annotations

from animacy.engine.kernels.fp8 import quantize_fp8
from animacy.engine.kernels.gated_residual import gated_residual
from animacy.engine.kernels.norm_modulate import norm_modulate
from animacy.engine.kernels.norm_silu import norm_silu
from animacy.engine.kernels.qk_norm_rope import qk_norm_rope

__all__ = ["gated_residual", "norm_modulate", "norm_silu", "qk_norm_rope", "quantize_fp8"]
