"""Schedules: where they start and end, and that an exact velocity leads to the clean latent."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from animacy.engine.config import TINY, Solver
from animacy.engine.schedule import steps_of


@pytest.mark.parametrize("solver", Solver)
@pytest.mark.parametrize("timesteps", [(1000.0,), (1000.0, 750.0, 500.0, 250.0), (900.0, 20.0)], ids=str)
def test_the_true_velocity_leads_to_the_clean_latent(solver, timesteps):
    steps = steps_of(replace(TINY.stream, timesteps=timesteps, solver=solver))
    clean, noise = torch.randn(2, 3), torch.randn(2, 3)
    latents = (1 - steps[0].sigma) * clean + steps[0].sigma * noise
    for step in steps:
        fresh = torch.randn(2, 3)
        latents = step.advance(latents, noise - clean, fresh)
        noise = fresh if step.needs_noise else noise
        torch.testing.assert_close(latents, (1 - step.next_sigma) * clean + step.next_sigma * noise)
    torch.testing.assert_close(latents, clean)


def test_the_shift_moves_noise_levels_up_and_keeps_the_ends():
    steps = steps_of(replace(TINY.stream, timesteps=(1000.0, 500.0), shift=5.0))
    assert [step.timestep for step in steps] == pytest.approx([1000.0, 5 * 500 / 3])
    assert steps[-1].next_sigma == 0
    plain = steps_of(replace(TINY.stream, timesteps=(1000.0, 500.0), shift=1.0))
    assert [step.timestep for step in plain] == [1000.0, 500.0]
