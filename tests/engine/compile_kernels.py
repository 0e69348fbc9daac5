"""Compiles every kernel for a Hopper GPU, which needs none; run in a process of its own, without the interpreter."""

from __future__ import annotations

import importlib

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

HOPPER = GPUTarget("cuda", 90, 32)
POINTERS = {
    "norm_modulate": {"x": "*bf16", "y": "*bf16", "out": "*bf16"}
    | {name: "*fp32" for name in ("gate", "scale", "shift")},
    "gated_residual": {"x": "*bf16", "y": "*bf16", "gate": "*fp32"},
    "qk_norm_rope": {name: "*bf16" for name in ("q", "k", "q_weight", "k_weight")}
    | {name: "*fp32" for name in ("cos", "sin", "means")},
    "mean_squares": {"x": "*bf16", "y": "*bf16", "means": "*fp32"},
    "add_norm_silu": {name: "*bf16" for name in ("values", "bias", "shortcut", "weight", "out")},
    "store_rows": {name: "*bf16" for name in ("k", "v", "keys", "values")} | {"rows": "*i64"},
    "merge_splits": {"parts": "*bf16", "log_sums": "*fp32", "out": "*bf16"},
    "rotate_keys": {"source": "*bf16", "target": "*bf16", "cos": "*fp32", "sin": "*fp32"},
    "fp8": {"x": "*bf16", "values": "*fp8e4nv", "scale": "*fp32"},
}
FLOATS = ("eps", "base", "root", "largest", "smallest_scale", "share")
FLAGS = dict.fromkeys(("ADD", "GATED", "BIAS", "SHORTCUT", "NORM", "KEEP", "WRITE", "MEANS", "GELU"), True)
SIZES = {"ROWS": 8, "BLOCK": 1024, "PAIRS": 512, "SPLITS": 3, "TIME": 2, "SPACE": 2, "REPEATS": 8, "LEAD": 0}
CONSTANTS = FLAGS | SIZES


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
