"""What a benchmark runs: a preset at a size, for some sessions, on some devices."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from animacy.engine.config import Preset, preset
from animacy.engine.errors import EngineError
from animacy.engine.loading import Devices
from animacy.engine.spread import spread


@dataclass(frozen=True, slots=True)
class Workload:
    """`size` is (height, width) in pixels; devices are those of `animacy.engine.spread`."""

    preset: Preset
    size: tuple[int, int]
    sessions: int
    devices: tuple[torch.device, ...]

    @property
    def device(self) -> torch.device:
        """Where the transformer runs."""
        return self.devices[0]

    @property
    def vae_device(self) -> torch.device:
        """Where the autoencoder runs, or its first part."""
        return self.spread.vae[0]

    @property
    def spread(self) -> Devices:
        """What each device is for."""
        return Devices.of(self.devices)

    @property
    def own(self) -> dict[int, torch.device]:
        """The devices that this process uses, by their numbers; other processes use the others."""
        return self.spread.own

    @property
    def on_gpu(self) -> bool:
        """Whether there is anything to see of a GPU's speed."""
        return self.device.type == "cuda"

    @property
    def frames(self) -> int:
        """Frames that each session gets of one iteration."""
        return self.preset.stream.chunk * self.preset.vae.temporal_factor

    def free_bytes(self) -> dict[int, int]:
        """Memory that is free on each GPU of this process."""
        return {number: torch.cuda.mem_get_info(device)[0] for number, device in self.own.items()}


def workload(
    name: str,
    gpus: int,
    sessions: int,
    height: int | None,
    width: int | None,
    fp8: bool = False,
    steps: int | None = None,
    window: int | None = None,
    memory: int | None = None,
) -> Workload:
    """Make a workload of what a user asked for, see `command.run`.

    Raises:
        EngineError: there is no such preset, too few GPUs or more than can be used, the size does not divide, or the
            preset cannot be run so.
    """
    chosen = preset(name).tuned(fp8, steps, window, memory)
    size = (height or chosen.size[0], width or chosen.size[1])
    chosen.latent_size(*size)
    if sessions < 1:
        raise EngineError(f"{sessions} sessions cannot be measured", "give 1 or more")
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus > present:
        remedy = f"give --gpus {present}" + ("" if present else ", which runs a tiny preset on the processor")
        raise EngineError(f"{gpus} GPUs were asked for, {present} can be used", remedy)
    chosen.dit.check_split(spread(max(gpus, 1)).dit)
    devices = tuple(torch.device("cuda", index) for index in range(gpus)) or (torch.device("cpu"),)
    return Workload(chosen, size, sessions, devices)
