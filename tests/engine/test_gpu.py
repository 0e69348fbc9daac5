"""What only a GPU shows, at the size of real presets: precision, graphs, sessions and devices side by side."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import torch

from animacy.engine.bench.theirs import their_dit, their_vae
from animacy.engine.config import WAN21_1_3B, WAN22_5B
from animacy.engine.errors import EngineError
from animacy.engine.followers import Followers, Shared
from animacy.engine.loading import Devices, load_models
from animacy.engine.models.causal_conv import FeatureCache
from animacy.engine.models.dit import Conditions
from animacy.engine.sessions import Sessions
from animacy.engine.weights import empty_dit, empty_vae, random_
from tests.engine.helpers import angles, picture

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

PRESETS = [WAN22_5B, WAN21_1_3B]
SIZE = (256, 384)
LAYERS = 4
"""All of a preset's shapes but its depth, so that a run takes seconds."""


@pytest.fixture(params=PRESETS, ids=lambda preset: preset.name)
def preset(request):
    audio = replace(request.param.dit.audio, blocks=(0, 2))
    return replace(request.param, dit=replace(request.param.dit, num_layers=LAYERS, audio=audio))


def networks(preset, vae_device="cuda:0"):
    return random_(empty_dit(preset.dit, "cuda:0")), random_(empty_vae(preset.vae, vae_device))


def error(a, b):
    """Root mean square of the difference, as a share of that of what it should be."""
    return ((a.float() - b.float()).square().mean().sqrt() / b.float().square().mean().sqrt()).item()


@torch.inference_mode()
def test_the_transformer_in_bfloat16_is_near_diffusers_in_float32(preset):
    pytest.importorskip("diffusers")
    config = replace(preset.dit, audio=None)
    ours = random_(empty_dit(config, "cuda"))
    theirs = their_dit(ours).float()
    height, width = preset.latent_size(*SIZE)
    latents = torch.randn(1, config.in_channels, 3, height, width, device="cuda")
    prompt = torch.randn(1, config.text_len, config.text_dim, device="cuda")
    expected = theirs(latents, torch.tensor([700.0], device="cuda"), prompt, return_dict=False)[0]
    turn = angles(config, 3, *config.grid(height, width))
    turn = type(turn)(turn.cos.cuda(), turn.sin.cuda())
    time = ours.embed_time(torch.tensor([[700.0]], device="cuda"))
    got = ours(latents, time, turn, Conditions(ours.embed_text(prompt, 1)))
    assert error(got, expected) <= 2e-2


@torch.inference_mode()
def test_the_transformer_in_fp8_is_near_the_one_in_bfloat16(preset):
    config = replace(preset.dit, fp8=True)
    whole, rounded = random_(empty_dit(preset.dit, "cuda")), random_(empty_dit(config, "cuda")).optimize()
    height, width = preset.latent_size(*SIZE)
    latents = torch.randn(1, config.in_channels, 3, height, width, device="cuda")
    prompt = torch.randn(1, config.text_len, config.text_dim, device="cuda")
    turn = angles(config, 3, *config.grid(height, width))
    turn = type(turn)(turn.cos.cuda(), turn.sin.cuda())
    expected, got = (
        model(latents, model.embed_time(torch.tensor([[700.0]], device="cuda")), turn, Conditions(text))
        for model in (whole, rounded)
        for text in (model.embed_text(prompt, 1),)
    )
    print(f"{preset.name}: FP8 is {error(got, expected):.3f} from bfloat16")
    assert error(got, expected) <= 0.1
    assert rounded.unprompted()[0].isfinite().all()


@torch.inference_mode()
def test_the_decoder_in_bfloat16_is_near_diffusers_in_float32(preset):
    pytest.importorskip("diffusers")
    ours = random_(empty_vae(preset.vae, "cuda"))
    theirs = their_vae(ours).float()
    latents = torch.randn(1, preset.vae.z_dim, 3, *preset.latent_size(*SIZE), device="cuda")
    expected = theirs.decode(latents * ours.latents_std + ours.latents_mean).sample
    ours.optimize()
    cache = FeatureCache()
    pieces = [ours.decode(latents[:, :, [i]], cache, first=not i) for i in range(3)]
    assert error(torch.cat(pieces, dim=2), expected) <= 2e-2


def drawn(preset, models, seeds, iterations=12, warm=True, followers=None):
    """Frames of the last iterations of some sessions, past a window that has turned over."""
    engine = Sessions(preset, *models, *SIZE, len(seeds), followers)
    if warm:
        engine.warm_up()
    audio = preset.dit.audio
    speech = {}
    for seed in seeds:
        number, _ = engine.admit(picture(*SIZE, seed), seed=seed)
        generator = torch.Generator().manual_seed(seed)
        speech[number] = torch.randn(1, audio.window, audio.feature_dim, generator=generator)
    for _ in range(iterations):
        frames = engine.step(speech).wait()
    latest = [one.float().clone() for one in frames.values()]
    engine.close()
    return latest


def apart(a, b):
    """Mean difference of pictures in levels of 256."""
    return (a - b).abs().mean().item()


@pytest.mark.parametrize(
    "tuned", [{}, {"window": 4, "memory": 4}, {"window": 4, "memory": 4, "fp8": True}], ids=["plain", "memory", "fp8"]
)
def test_a_replayed_graph_equals_eager(preset, tuned):
    preset = preset.tuned(**tuned)
    models = networks(preset)
    (eager,), (replayed,) = (drawn(preset, models, [1], warm=warm) for warm in (False, True))
    assert apart(replayed, eager) <= 1
    assert apart(drawn(preset, models, [2])[0], eager) > 10


def test_sessions_together_equal_each_alone(preset):
    models = networks(preset)
    together = drawn(preset, models, [1, 2, 3])
    for seed, mine in zip((1, 2, 3), together, strict=True):
        assert apart(mine, drawn(preset, models, [seed])[0]) <= 2


def test_a_decoder_on_another_gpu_draws_the_same(preset):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    (one,) = drawn(preset, networks(preset), [1])
    dit, vae = networks(preset)
    (two,) = drawn(preset, (dit, vae.to("cuda:1")), [1])
    assert apart(two, one) <= 1


def test_pictures_are_begun_while_the_clean_pass_still_runs(preset):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    dit, vae = networks(preset)
    engine = Sessions(preset, dit, vae.to("cuda:1"), *SIZE)
    engine.warm_up()
    engine.admit(picture(*SIZE))
    for _ in range(3):
        pending = engine.step()
        pending.wait()
    assert pending.decode.start < pending.denoise.end


@contextlib.contextmanager
def shared(preset, dit, vae, capacity):
    """Networks that so many GPUs share each, and the processes of the others."""
    cuda = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    # Where only one of them is shared, the first GPU does both.
    first, needed = (dit, dit + vae) if min(dit, vae) > 1 else (0, max(dit, vae))
    if len(cuda) < needed:
        pytest.skip(f"needs {needed} GPUs")
    apart = cuda[first : first + vae]
    devices = Devices(tuple(cuda[:dit]), tuple(apart))
    followers = Followers.start(Shared(preset, None, devices, *SIZE, capacity))
    try:
        yield load_models(preset, None, devices, followers.dit.ranks, followers.vae.ranks), followers
    finally:
        followers.close()


@pytest.mark.parametrize(("dit", "vae"), [(2, 1), (3, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("warm", [True, False], ids=["replayed", "eager"])
def test_gpus_that_share_a_network_draw_the_same(preset, dit, vae, warm):
    with shared(preset, dit, vae, 2) as (models, followers):
        together = drawn(preset, models, [1, 2], warm=warm, followers=followers)
    alone = load_models(preset, None, Devices.parse(["cuda:0"]))
    for mine, expected in zip(together, drawn(preset, alone, [1, 2]), strict=True):
        assert apart(mine, expected) <= 2


def test_a_gpu_process_that_is_killed_is_told_though_others_wait_for_it(preset):
    with shared(preset, 2, 1, 1) as (models, followers):
        engine = Sessions(preset, *models, *SIZE, 1, followers)
        engine.warm_up()
        engine.admit(picture(*SIZE))
        engine.step().wait()
        followers.processes[0].kill()
        with pytest.raises(EngineError, match="was killed by SIGKILL"):
            for _ in range(99):
                engine.step().wait()
        engine.close()
