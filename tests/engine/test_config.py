"""Presets: their shapes, and what is refused."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from animacy.engine.config import PRESETS, S2V_14B, TINY, WAN21_1_3B, WAN22_5B, preset
from animacy.engine.errors import EngineError


@pytest.mark.parametrize(
    ("which", "size", "tokens"),
    [
        (WAN22_5B, (704, 1280), 880),
        (WAN22_5B, (512, 512), 256),
        (WAN21_1_3B, (480, 832), 1560),
        (WAN21_1_3B, (512, 512), 1024),
        (S2V_14B, (400, 720), 1125),
    ],
)
def test_tokens_of_a_latent_frame(which, size, tokens):
    assert which.tokens_per_frame(*size) == tokens


@pytest.mark.parametrize("which", PRESETS.values(), ids=PRESETS)
def test_a_preset_can_draw_its_own_size_four_frames_at_a_time(which):
    assert which.tokens_per_frame(*which.size) > 0
    assert which.vae.temporal_factor == 4
    assert preset(which.name) is which


def test_presets_are_frozen():
    with pytest.raises(FrozenInstanceError):
        WAN22_5B.dit.dim = 1


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(EngineError, match="wan22-5b"):
        preset("wan23")


def test_a_size_that_does_not_divide_names_the_nearest():
    with pytest.raises(EngineError, match="use 1280x704"):
        WAN22_5B.latent_size(720, 1280)


@pytest.mark.parametrize(
    "changes",
    [
        {"window": 0},
        {"chunk": 2, "window": 3},
        {"chunk": 2, "window": 4, "sink": 2},
        {"chunk": 2, "window": 4, "memory": 3},
        {"memory": -1},
        {"pool": (2, 0)},
        {"timesteps": ()},
        {"timesteps": (500.0, 1000.0)},
        {"timesteps": (1000.0, 0.0)},
    ],
    ids=str,
)
def test_streams_that_cannot_work_are_refused(changes):
    with pytest.raises(EngineError):
        replace(TINY.stream, **changes)


def test_models_that_do_not_fit_each_other_are_refused():
    with pytest.raises(EngineError, match="the VAE takes 4"):
        replace(TINY, dit=replace(TINY.dit, out_channels=8))


@pytest.mark.parametrize(("light", "full"), [("wan22-5b-light", WAN22_5B), ("wan21-1.3b-light", WAN21_1_3B)])
def test_a_light_preset_takes_the_transformer_and_the_latents_of_the_full_one(light, full):
    pruned = preset(light)
    assert 4 * pruned.vae.decoder_dim == full.vae.decoder_dim
    assert replace(pruned, name=full.name, vae=full.vae) == full


def test_a_preset_run_in_another_way():
    tuned = WAN22_5B.tuned(fp8=True, steps=2, window=4)
    assert tuned.dit == replace(WAN22_5B.dit, fp8=True)
    assert tuned.stream == replace(WAN22_5B.stream, timesteps=(1000.0, 500.0), window=4, fp8_cache=True)
    assert WAN22_5B.tuned() == WAN22_5B
    remembering = WAN22_5B.tuned(memory=24)
    assert remembering.stream == replace(WAN22_5B.stream, memory=24)
    assert remembering.tuned() == remembering and remembering.tuned(memory=0) == WAN22_5B
    assert WAN22_5B.tuned(steps=3).stream.timesteps == (1000.0, 750.0, 500.0)
    with pytest.raises(EngineError, match="has 4 steps, not 5"):
        WAN22_5B.tuned(steps=5)
    with pytest.raises(EngineError, match="need 1036 rotary positions, there are 1024"):
        WAN22_5B.tuned(memory=506)
