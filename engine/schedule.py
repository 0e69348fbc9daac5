"""Few-step schedules of flow matching: which noise levels to visit, and how to get from one to the next.

A noisy latent is (1 - sigma) * clean + sigma * noise, and the network predicts the velocity noise - clean (rectified
flow, arXiv:2209.03003). Distilled models need a handful of steps (DMD2, arXiv:2405.14867).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from animacy.engine.config import Solver, StreamConfig

_TIMESTEPS = 1000
"""The network's clock: sigma 1 is timestep 1000."""


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step, from noise level `sigma` to `next_sigma`, both in [0, 1]."""

    sigma: float
    next_sigma: float
    solver: Solver

    @property
    def timestep(self) -> float:
        """What the network is told, 0 to 1000."""
        return self.sigma * _TIMESTEPS

    @property
    def needs_noise(self) -> bool:
        """Whether `advance` uses its noise."""
        return self.solver is Solver.RENOISE and self.next_sigma > 0

    def advance(self, latents: Tensor, velocity: Tensor, noise: Tensor) -> Tensor:
        """The latents at `next_sigma`.

        Args:
            latents: at `sigma`, float32.
            velocity: the network's prediction there, shaped like `latents`.
            noise: fresh normal noise, used when re-noising only.
        """
        if not self.needs_noise:
            # With next_sigma 0 the two solvers agree.
            return latents + (self.next_sigma - self.sigma) * velocity
        clean = latents - self.sigma * velocity
        return (1 - self.next_sigma) * clean + self.next_sigma * noise


def steps_of(config: StreamConfig) -> tuple[Step, ...]:
    """The steps of a schedule, from its first timestep down to clean."""
    sigmas = [_shifted(timestep / _TIMESTEPS, config.shift) for timestep in config.timesteps]
    return tuple(Step(a, b, config.solver) for a, b in zip(sigmas, [*sigmas[1:], 0.0], strict=True))


def _shifted(sigma: float, shift: float) -> float:
    """Move noise levels up for large pictures (Stable Diffusion 3, arXiv:2403.03206, eq. 23)."""
    return shift * sigma / (1 + (shift - 1) * sigma)
