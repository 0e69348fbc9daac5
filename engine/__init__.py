"""The GPU video engine: an autoregressive, audio-conditioned video diffusion transformer with a streaming decoder.

A library of its own: presets and their numbers in `config`, the networks in `models`, weights in `weights`, generation
in `stream`. PyTorch comes with the extra `engine`; listing presets needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from animacy.engine.config import PRESETS, Preset, preset
    from animacy.engine.errors import EngineError, WeightsError
    from animacy.engine.models import VideoDiT, VideoVAE
    from animacy.engine.sessions import Sessions
    from animacy.engine.stream import Stream
    from animacy.engine.weights import LoadReport, load_dit, load_vae

__all__ = [
    "PRESETS",
    "EngineError",
    "LoadReport",
    "Preset",
    "Sessions",
    "Stream",
    "VideoDiT",
    "VideoVAE",
    "WeightsError",
    "load_dit",
    "load_vae",
    "preset",
]

_HOMES = {
    "PRESETS": "config",
    "EngineError": "errors",
    "LoadReport": "weights",
    "Preset": "config",
    "Sessions": "sessions",
    "Stream": "stream",
    "VideoDiT": "models",
    "VideoVAE": "models",
    "WeightsError": "errors",
    "load_dit": "weights",
    "load_vae": "weights",
    "preset": "config",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the numbers of presets can be read where no PyTorch is installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    from animacy.engine.errors import needing_torch

    with needing_torch():
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
