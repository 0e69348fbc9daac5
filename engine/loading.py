"""From a preset to its networks in memory: where their weights are, on which devices they go, and whether they fit."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from animacy.engine.config import Preset
from animacy.engine.errors import EngineError, WeightsError
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.weights import load_dit, load_vae

DIT_FOLDER, VAE_FOLDER = "transformer", "vae"
"""Where a folder of weights has them, as diffusers lays a model out."""


@dataclass(frozen=True, slots=True)
class Devices:
    """Where the transformer and the autoencoder live; `auto` is the first GPU, or the CPU where there is none."""

    dit: torch.device
    vae: torch.device

    @classmethod
    def parse(cls, names: Sequence[str]) -> Devices:
        """One name for both, or two. Raises EngineError for what is not there."""
        if not 1 <= len(names) <= 2:
            raise EngineError(f"{len(names)} devices were given", "give one, or two: of the transformer and the decoder")
        found = [_device(name) for name in names]
        return cls(found[0], found[-1])

    def memory(self) -> dict[str, dict[str, int]]:
        """Bytes in use by this process, the most there were, and all that the device has."""
        return {str(device): _memory(device) for device in (self.dit, self.vae)}


def load_models(preset: Preset, weights: Path | None, devices: Devices) -> tuple[VideoDiT, VideoVAE]:
    """Both networks, ready for inference, in bfloat16 on a GPU and float32 on a CPU.

    Args:
        preset: their configuration.
        weights: a folder with `transformer` and `vae`, safetensors under the names of Wan or of diffusers. None takes
            random ones: the video is noise, and everything costs what it would.
        devices: where they go.

    Raises:
        WeightsError: the weights are not there, or do not fit the preset.
        EngineError: the memory does not suffice.
    """
    dit, vae = devices.dit, devices.vae
    try:
        if weights is None:
            return _random(VideoDiT(preset.dit), dit, 1), _random(VideoVAE(preset.vae), vae, 2)
        if not weights.is_dir():
            raise WeightsError(f"there is no folder of weights at {weights}", f"it holds {DIT_FOLDER} and {VAE_FOLDER}")
        transformer, _ = load_dit(preset.dit, weights / DIT_FOLDER, dit, _dtype(dit))
        autoencoder, _ = load_vae(preset.vae, weights / VAE_FOLDER, vae, _dtype(vae))
        return transformer, autoencoder
    except torch.OutOfMemoryError as error:
        raise does_not_fit(preset, error) from error


def does_not_fit(preset: Preset, error: Exception) -> EngineError:
    """The error of a device whose memory is too small."""
    return EngineError(
        f"preset {preset.name} does not fit: {str(error).splitlines()[0]}",
        "take fewer sessions, a smaller size, a smaller preset, or a second device for the decoder",
    )


def _random(model: nn.Module, device: torch.device, seed: int) -> nn.Module:
    raise NotImplementedError


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        count = torch.cuda.device_count()
        known = ", ".join(["cpu", *(f"cuda:{i}" for i in range(count))])
        raise EngineError(f"there is no device {name!r} here", f"choose from {known}") from error
    return device


def _dtype(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _memory(device: torch.device) -> dict[str, int]:
    if device.type != "cuda":
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"allocated": peak, "peak": peak, "total": _physical_memory()}
    return {
        "allocated": torch.cuda.memory_allocated(device),
        "peak": torch.cuda.max_memory_allocated(device),
        "total": torch.cuda.mem_get_info(device)[1],
    }
