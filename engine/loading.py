"""From a preset to its networks in memory: where their weights are, on which devices they go, and whether they fit."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from animacy.engine.config import Preset
from animacy.engine.errors import EngineError, WeightsError
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.plan import plan
from animacy.engine.ranks import ALONE, Ranks
from animacy.engine.spread import spread
from animacy.engine.weights import empty_dit, empty_vae, load_dit, load_vae, random_

DIT_FOLDER, VAE_FOLDER = "transformer", "vae"
"""Where a folder of weights has them, as diffusers lays a model out."""
_SEED = 1
"""Of random weights: two engines of one preset and one kind of device have the same."""


@dataclass(frozen=True, slots=True)
class Devices:
    """Where the parts of the transformer and of the decoder live; `auto` is the first GPU, or the CPU without one.

    The process of the engine has the first of each, other processes one of the others each (`animacy.engine.spread`).
    """

    dit: tuple[torch.device, ...]
    vae: tuple[torch.device, ...]

    @classmethod
    def parse(cls, names: Sequence[str]) -> Devices:
        """One name for both, or several: first of the transformer, then of the decoder.

        Raises EngineError for what is not there, or cannot be used together.
        """
        found = [_device(name) for name in names]
        gpus = [device for device in found if device.type == "cuda"]
        if len(found) > 2 and (len(gpus) not in (0, len(found)) or len(set(gpus)) < len(gpus)):
            raise EngineError(f"{', '.join(names)} cannot share an engine", "name different GPUs")
        return cls.of(found)

    @classmethod
    def of(cls, devices: Sequence[torch.device]) -> Devices:
        """As `parse`, for devices that are there."""
        count = spread(len(devices)).dit
        return cls(tuple(devices[:count]), tuple(devices[count:] or devices[:1]))

    @property
    def own(self) -> dict[int, torch.device]:
        """Those of the engine's process, by their numbers in the plan."""
        return {0: self.dit[0], self.gpus - len(self.vae): self.vae[0]}

    @property
    def gpus(self) -> int:
        """How many there are in the plan."""
        apart = self.vae[0].type == "cuda" and self.vae[0] != self.dit[0]
        return len(self.dit) + (len(self.vae) if apart else 0)

    def memory(self) -> dict[str, dict[str, int]]:
        """Bytes in use by this process on its devices, the most there were, and all that the device has."""
        return {str(device): _memory(device) for device in self.own.values()}


def check_memory(
    preset: Preset, height: int, width: int, sessions: int, devices: Devices, mine: Mapping[int, torch.device]
) -> None:
    """Refuse before anything is loaded what will not fit a GPU's free memory: EngineError says what would help.

    Each process checks what it has: `mine` are its devices by their numbers in the plan.
    """
    free = {gpu: torch.cuda.mem_get_info(device)[0] for gpu, device in mine.items() if device.type == "cuda"}
    if free:
        plan(preset, height, width, sessions, gpus=devices.gpus).check(free)


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


def load_models(
    preset: Preset, weights: Path | None, devices: Devices, dit: Ranks = ALONE, vae: Ranks = ALONE
) -> tuple[VideoDiT, VideoVAE]:
    """Both networks of the engine's process: see `load_transformer` and `load_autoencoder`."""
    return (
        load_transformer(preset, weights, devices.dit[0], dit),
        load_autoencoder(preset, weights, devices.vae[0], vae),
    )


def load_transformer(preset: Preset, weights: Path | None, device: torch.device, ranks: Ranks = ALONE) -> VideoDiT:
    """The transformer, or a rank's part of it, ready for inference, in bfloat16 on a GPU and float32 on a CPU.

    Args:
        preset: its configuration.
        weights: a folder with `transformer` and `vae`, safetensors under the names of Wan or of diffusers. None takes
            random ones: the video is noise, and everything costs what it would.
        device: where it goes.
        ranks: those who share it.

    Raises:
        WeightsError: the weights are not there, or do not fit the preset.
    """
    _use(device)
    if weights is None:
        return random_(empty_dit(preset.dit, device, _dtype(device), ranks), _SEED)
    return load_dit(preset.dit, _folder(weights, DIT_FOLDER), device, _dtype(device), ranks=ranks)[0]


def load_autoencoder(preset: Preset, weights: Path | None, device: torch.device, ranks: Ranks = ALONE) -> VideoVAE:
    """The autoencoder, whose weights every rank has; arguments and errors are those of `load_transformer`."""
    _use(device)
    if weights is None:
        return random_(empty_vae(preset.vae, device, _dtype(device)), _SEED).share(ranks)
    return load_vae(preset.vae, _folder(weights, VAE_FOLDER), device, _dtype(device))[0].share(ranks)


def _use(device: torch.device) -> None:
    if device.type == "cpu":
        # OpenMP's threads spin while they wait, and what feeds the engine computes on the same cores.
        torch.set_num_threads(1)


def _folder(weights: Path, name: str) -> Path:
    if not weights.is_dir():
        raise WeightsError(f"there is no folder of weights at {weights}", f"it holds {DIT_FOLDER} and {VAE_FOLDER}")
    return weights / name


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
