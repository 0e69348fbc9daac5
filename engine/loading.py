"""From a preset to its networks in memory: where their weights are, on which devices they go, and whether they fit."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from animacy.engine.config import Preset
from animacy.engine.errors import EngineError, WeightsError
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.plan import plan
from animacy.engine.weights import empty_dit, empty_vae, load_dit, load_vae, random_

DIT_FOLDER, VAE_FOLDER = "transformer", "vae"
"""Where a folder of weights has them, as diffusers lays a model out."""
_SEED = 1
"""Of random weights: two engines of one preset and one kind of device have the same."""


@dataclass(frozen=True, slots=True)
class Devices:
    """Where the transformer and the autoencoder live; `auto` is the first GPU, or the CPU where there is none."""

    dit: torch.device
    vae: torch.device

    @classmethod
    def parse(cls, names: Sequence[str]) -> Devices:
        """One name for both, or two. Raises EngineError for what is not there."""
        if not 1 <= len(names) <= 2:
            raise EngineError(
                f"{len(names)} devices were given", "give one, or two: of the transformer and the decoder"
            )
        found = [_device(name) for name in names]
        return cls(found[0], found[-1])

    def memory(self) -> dict[str, dict[str, int]]:
        """Bytes in use by this process, the most there were, and all that the device has."""
        return {str(device): _memory(device) for device in (self.dit, self.vae)}


def check_memory(preset: Preset, height: int, width: int, sessions: int, devices: Devices) -> None:
    """Refuse before anything is loaded what will not fit a GPU's free memory: EngineError says what would help."""
    if devices.dit.type != "cuda":
        return
    apart = devices.vae.type == "cuda" and devices.vae != devices.dit
    needed = plan(preset, height, width, sessions, vae_device_separate=apart)
    needed.check(
        [torch.cuda.mem_get_info(device)[0] for device in ((devices.dit, devices.vae) if apart else (devices.dit,))]
    )


@contextmanager
def needing_memory(preset: Preset) -> Iterator[None]:
    """Says what would help where a GPU's memory ends all the same, since activations can only be estimated."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"preset {preset.name} does not fit: {str(error).splitlines()[0]}",
            "take fewer sessions, a smaller size, a smaller preset, or a second GPU for the decoder",
        ) from error


def load_models(preset: Preset, weights: Path | None, devices: Devices) -> tuple[VideoDiT, VideoVAE]:
    """Both networks, ready for inference, in bfloat16 on a GPU and float32 on a CPU.

    Args:
        preset: their configuration.
        weights: a folder with `transformer` and `vae`, safetensors under the names of Wan or of diffusers. None takes
            random ones: the video is noise, and everything costs what it would.
        devices: where they go.

    Raises:
        WeightsError: the weights are not there, or do not fit the preset.
    """
    if devices.dit.type == "cpu":
        # OpenMP's threads spin while they wait, and what feeds the engine computes on the same cores.
        torch.set_num_threads(1)
    places = (devices.dit, _dtype(devices.dit)), (devices.vae, _dtype(devices.vae))
    if weights is None:
        dit, vae = empty_dit(preset.dit, *places[0]), empty_vae(preset.vae, *places[1])
        return random_(dit, _SEED), random_(vae, _SEED)
    if not weights.is_dir():
        raise WeightsError(f"there is no folder of weights at {weights}", f"it holds {DIT_FOLDER} and {VAE_FOLDER}")
    dit, _ = load_dit(preset.dit, weights / DIT_FOLDER, *places[0])
    vae, _ = load_vae(preset.vae, weights / VAE_FOLDER, *places[1])
    return dit, vae


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
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in KiB
        return {"allocated": peak, "peak": peak, "total": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")}
    return {
        "allocated": torch.cuda.memory_allocated(device),
        "peak": torch.cuda.max_memory_allocated(device),
        "total": torch.cuda.mem_get_info(device)[1],
    }
