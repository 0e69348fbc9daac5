"""The transformer against diffusers' WanTransformer3DModel, an independent implementation, on random weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from animacy.engine.bench.theirs import dit_like, their_dit
from animacy.engine.config import TINY
from animacy.engine.models import VideoDiT
from animacy.engine.models.dit import Conditions
from animacy.engine.weights import load_tensors, random_
from tests.engine.helpers import angles, relative

CONFIG = replace(TINY.dit, audio=None)
FRAMES, HEIGHT, WIDTH = 3, 8, 12


@pytest.fixture
def pair(diffusers):
    theirs = dit_like(CONFIG)
    random_(theirs)
    ours = VideoDiT(CONFIG)
    assert load_tensors(ours, theirs.state_dict()).complete
    return ours.eval().requires_grad_(False), theirs


def both(pair, timesteps, batch=2):
    ours, theirs = pair
    latents = torch.randn(batch, CONFIG.in_channels, FRAMES, HEIGHT, WIDTH)
    prompt = torch.randn(batch, CONFIG.text_len, CONFIG.text_dim)
    expected = theirs(latents, timesteps, prompt, return_dict=False)[0]
    time = ours.embed_time(timesteps if timesteps.dim() == 2 else timesteps.unsqueeze(1))
    conditions = Conditions(ours.embed_text(prompt, batch))
    got = ours(latents, time, angles(CONFIG, FRAMES, HEIGHT // 2, WIDTH // 2), conditions)
    return got, expected


def test_one_timestep_a_clip(pair):
    got, expected = both(pair, torch.tensor([873.0, 12.0]))
    assert relative(got, expected) <= 1e-4


def test_a_timestep_for_each_token_as_ti2v_conditions_on_its_picture(pair):
    tokens = HEIGHT * WIDTH // 4
    timesteps = torch.cat([torch.zeros(2, tokens), torch.full((2, 2 * tokens), 500.0)], dim=1)
    got, expected = both(pair, timesteps)
    assert relative(got, expected) <= 1e-4


def test_a_timestep_for_each_frame_equals_one_for_each_of_its_tokens(pair):
    ours, _ = pair
    latents = torch.randn(1, CONFIG.in_channels, FRAMES, HEIGHT, WIDTH)
    steps = torch.tensor([[0.0, 250.0, 500.0]])
    turn = angles(CONFIG, FRAMES, HEIGHT // 2, WIDTH // 2)
    by_frame = ours(latents, ours.embed_time(steps), turn, Conditions())
    each = steps.repeat_interleave(HEIGHT * WIDTH // 4, dim=1)
    by_token = ours(latents, ours.embed_time(each), turn, Conditions())
    assert relative(by_frame, by_token) <= 1e-5


def test_theirs_made_with_the_weights_of_ours_computes_the_same(diffusers):
    ours = random_(VideoDiT(TINY.dit))
    pair = ours, their_dit(ours)
    got, expected = both(pair, torch.tensor([300.0, 700.0]))
    assert relative(got, expected) <= 1e-4


def test_no_prompt_adds_the_same_to_every_token(pair):
    ours, _ = pair
    latents = torch.randn(2, CONFIG.in_channels, FRAMES, HEIGHT, WIDTH)
    time, turn = ours.embed_time(torch.tensor([[500.0]])), angles(CONFIG, FRAMES, HEIGHT // 2, WIDTH // 2)
    asked = ours(latents, time, turn, Conditions(ours.embed_text(None, 2)))
    assert relative(ours(latents, time, turn, Conditions(ours.unprompted())), asked) <= 1e-5


def test_bfloat16_stays_near_float32(pair):
    ours, _ = pair
    latents, timesteps = torch.randn(1, CONFIG.in_channels, FRAMES, HEIGHT, WIDTH), torch.tensor([[700.0]])
    turn = angles(CONFIG, FRAMES, HEIGHT // 2, WIDTH // 2)
    expected = ours(latents, ours.embed_time(timesteps), turn, Conditions())
    ours.cast(torch.bfloat16)
    assert ours.blocks[0].modulation.dtype == torch.float32
    got = ours(latents, ours.embed_time(timesteps), turn, Conditions())
    assert got.dtype == torch.float32
    assert relative(got, expected) <= 5e-2
