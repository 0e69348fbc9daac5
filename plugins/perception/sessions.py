"""ONNX Runtime as all networks here use it: few threads that sleep when there is nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from animacy.core.errors import ModelError


def session(model: Path | bytes, threads: int) -> Any:
    """An InferenceSession of a file or of its content. Raises ModelError."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # pictures differ in size, and the arena would keep the largest for ever
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions have no common base
        raise ModelError(
            f"cannot load the model {model if isinstance(model, Path) else 'of things'}: {error}",
            "run `animacy doctor --fetch`",
        ) from error
