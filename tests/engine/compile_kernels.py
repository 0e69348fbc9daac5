"""Compiles every kernel for a Hopper GPU, which needs none; run in a process of its own, without the interpreter."""

from __future__ import annotations

import importlib

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

HOPPER = GPUTarget("cuda", 90, 32)
POINTERS = {
    "norm_modulate": {"x": "*bf16", "scale": "*fp32", "shift": "*fp32", "out": "*bf16"},
    "gated_residual": {"x": "*bf16", "y": "*bf16", "gate": "*fp32"},
    "qk_norm_rope": {name: "*bf16" for name in ("q", "k", "q_weight", "k_weight")} | {"cos": "*fp32", "sin": "*fp32"},
    "norm_silu": {"x": "*bf16", "weight": "*bf16", "out": "*bf16"},
    "fp8": {"x": "*bf16", "values": "*fp8e4nv", "scale": "*fp32"},
}
FLOATS = ("eps", "root", "largest", "smallest_scale")
CONSTANTS = {"ROWS": 8, "BLOCK": 1024}


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
