"""Compiles every kernel for a Hopper GPU, which needs none; run in a process of its own, without the interpreter."""

from __future__ import annotations

import importlib

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

HOPPER = GPUTarget("cuda", 90, 32)
POINTERS = {
    "norm_modulate": {"x": "*bf16", "y": "*bf16", "out": "*fp8e4nv"}
    | {name: "*fp32" for name in ("gate", "scale", "shift", "out_scale", "y_scale")}
    | {"y_bias": "*bf16"},
    "gated_residual": {name: "*bf16" for name in ("x", "y", "y_bias")} | {"gate": "*fp32", "y_scale": "*fp32"},
    "qk_norm_rope": {name: "*bf16" for name in ("q", "k", "q_weight", "k_weight")}
    | {name: "*fp32" for name in ("cos", "sin", "means")},
    "mean_squares": {"x": "*bf16", "y": "*bf16", "means": "*fp32"},
    "add_norm_silu": {name: "*bf16" for name in ("values", "bias", "shortcut", "weight", "out")},
    "store_rows": {name: "*bf16" for name in ("k", "v", "keys", "values")} | {"rows": "*i64"},
    "store_fp8": {name: "*bf16" for name in ("q", "k", "v")}
    | {name: "*fp8e4nv" for name in ("queries", "keys", "values")}
    | {"rows": "*i64"},
    "attend_fp8": {
        "queries": "tensordesc<fp8e4nv[1,64,64]>",
        "keys": "tensordesc<fp8e4nv[1,128,64]>",
        "values": "tensordesc<fp8e4nv[1,64,128]>",
        "mask": "*i1",
        "parts": "*bf16",
        "log_sums": "*fp32",
        "scale": "fp32",
    },
    "merge_splits": {"parts": "*bf16", "log_sums": "*fp32", "out": "*fp8e4nv", "out_scale": "*fp32"},
    "rotate_keys": {"source": "*bf16", "target": "*bf16", "cos": "*fp32", "sin": "*fp32"},
    "fp8": {"x": "*bf16", "values": "*fp8e4nv", "scale": "*fp32"},
}
FLOATS = ("eps", "base", "root", "share")
FLAGS = dict.fromkeys(
    ("ADD", "GATED", "BIAS", "SHORTCUT", "NORM", "KEEP", "WRITE", "MEANS", "GELU", "FP8", "MASKED", "SCALED"), True
)
SIZES = {"ROWS": 8, "BLOCK": 1024, "PAIRS": 512, "SPLITS": 3, "TIME": 2, "SPACE": 2, "REPEATS": 8, "LEAD": 0}
TILES = {"TOKENS": 64, "CHANNELS": 64, "HEAD_DIM": 64, "TILE": 64, "KEYS": 128}
CONSTANTS = FLAGS | SIZES | TILES


def signature(name, pointers):
    if name in CONSTANTS:
        return "constexpr"
    return pointers.get(name, "fp32" if name in FLOATS else "i32")


def main():
    for module, pointers in POINTERS.items():
        kernel = importlib.import_module(f"animacy.engine.kernels.{module}")._kernel
        names = {name: signature(name, pointers) for name in kernel.arg_names}
        constants = {(i,): CONSTANTS[name] for i, name in enumerate(names) if name in CONSTANTS}
        compiled = triton.compile(ASTSource(kernel, names, constexprs=constants), target=HOPPER)
        print(module, len(compiled.asm["cubin"]), "bytes")


if __name__ == "__main__":
    main()
