"""Fused elementwise work of the models: each file holds a Triton kernel, its PyTorch reference, and who picks which."""

from __future__ import annotations

from animacy.engine.kernels.add_norm_silu import SAME, Unfold, add_norm_silu
from animacy.engine.kernels.attend_fp8 import attend_fp8
from animacy.engine.kernels.fp8 import quantize_fp8
from animacy.engine.kernels.gated_residual import gated_residual
from animacy.engine.kernels.linear_fp8 import linear_fp8, product_fp8
from animacy.engine.kernels.linear_gelu import linear_gelu
from animacy.engine.kernels.mean_squares import mean_squares
from animacy.engine.kernels.merge_splits import merge_splits
from animacy.engine.kernels.norm_modulate import add_norm_modulate, norm_modulate
from animacy.engine.kernels.qk_norm_rope import qk_norm_rope
from animacy.engine.kernels.rotate_keys import rotate_keys
from animacy.engine.kernels.store_fp8 import store_fp8
from animacy.engine.kernels.store_rows import store_rows

__all__ = [
    "SAME",
    "Unfold",
    "add_norm_modulate",
    "add_norm_silu",
    "attend_fp8",
    "gated_residual",
    "linear_fp8",
    "linear_gelu",
    "mean_squares",
    "merge_splits",
    "norm_modulate",
    "product_fp8",
    "qk_norm_rope",
    "quantize_fp8",
    "rotate_keys",
    "store_fp8",
    "store_rows",
]
