"""The autoencoder against diffusers' AutoencoderKLWan on random weights, and streamed against the clip in one piece."""

from __future__ import annotations

import pytest
import torch

from animacy.engine.errors import EngineError
from animacy.engine.models import VideoVAE
from animacy.engine.models.causal_conv import FeatureCache
from animacy.engine.weights import load_tensors, random_
from tests.engine.helpers import TINY, TINY_21, relative

VAES = {"wan22": TINY.vae, "wan21": TINY_21.vae}
LATENT_FRAMES = 4


@pytest.fixture(params=VAES.values(), ids=VAES)
def config(request):
    return request.param


@pytest.fixture
def vae(config):
    return random_(VideoVAE(config))


def their_vae(diffusers, config):
    patch = config.patch_size
    channels = 3 * patch**2
    return diffusers.AutoencoderKLWan(
        base_dim=config.encoder_dim,
        decoder_base_dim=config.decoder_dim,
        z_dim=config.z_dim,
        dim_mult=list(config.dim_mult),
        num_res_blocks=config.num_res_blocks,
        temperal_downsample=list(config.temporal_downsample),
        latents_mean=list(config.latents_mean),
        latents_std=list(config.latents_std),
        is_residual=config.residual,
        in_channels=channels,
        out_channels=channels,
        patch_size=patch if patch > 1 else None,
        scale_factor_spatial=config.spatial_factor,
    )


def scaled(config, latents):
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (config.latents_mean, config.latents_std))
    return latents * std + mean


def clip(config, frames=1 + 4 * (LATENT_FRAMES - 1), batch=1):
    side = 2 * config.spatial_factor
    return torch.rand(batch, 3, frames, side, side + config.spatial_factor) * 2 - 1


def latents_for(config, batch=1):
    return torch.randn(batch, config.z_dim, LATENT_FRAMES, 2, 3)


def test_encoder_and_decoder_equal_diffusers(diffusers, config):
    theirs = random_(their_vae(diffusers, config))
    ours = VideoVAE(config)
    assert load_tensors(ours, theirs.state_dict()).complete
    ours.requires_grad_(False)
    video = clip(config, batch=2)
    assert relative(scaled(config, ours.encode_clip(video)), theirs.encode(video).latent_dist.mode()) <= 1e-4
    latents = latents_for(config, batch=2)
    expected = theirs.decode(scaled(config, latents)).sample
    assert expected.abs().max() > 0.1
    assert relative(ours.decode_clip(latents), expected) <= 1e-4


def test_decoding_frame_by_frame_equals_the_clip_in_one_piece(vae, config):
    latents = latents_for(config)
    at_once = FeatureCache(LATENT_FRAMES - 1)
    first = vae.decode(latents[:, :, :1], at_once, first=True)
    rest = vae.decode(latents[:, :, 1:], at_once, first=False)
    assert relative(vae.decode_clip(latents), torch.cat((first, rest), dim=2)) <= 1e-5


def test_encoding_chunk_by_chunk_equals_the_clip_in_one_piece(vae, config):
    video = clip(config)
    at_once = FeatureCache(LATENT_FRAMES - 1)
    first = vae.encode(video[:, :, :1], at_once, first=True)
    rest = vae.encode(video[:, :, 1:], at_once, first=False)
    assert relative(vae.encode_clip(video), torch.cat((first, rest), dim=2)) <= 1e-5


def test_a_picture_needs_no_cache(vae, config):
    video = clip(config, frames=1)
    assert torch.equal(vae.encode(video, None, first=True), vae.encode(video, FeatureCache(), first=True))


def test_channels_last_all_the_way(vae, config):
    video, latents = clip(config), latents_for(config)
    encoded, decoded = vae.encode_clip(video), vae.decode_clip(latents)
    vae.channels_last()
    assert relative(vae.encode_clip(video), encoded) <= 1e-5
    assert relative(vae.decode_clip(latents), decoded) <= 1e-5
    cache = FeatureCache()
    vae.decode(latents[:, :, :1], cache, first=True)
    assert all(b.is_contiguous(memory_format=torch.channels_last_3d) for b in cache._buffers.values())


def test_what_is_remembered_keeps_its_size_and_address(vae, config):
    cache, latents = FeatureCache(), latents_for(config)
    vae.decode(latents[:, :, :1], cache, first=True)
    vae.decode(latents[:, :, 1:2], cache, first=False)
    places = {key: (buffer.data_ptr(), buffer.shape) for key, buffer in cache._buffers.items()}
    for _ in range(3):
        vae.decode(latents[:, :, 2:3], cache, first=False)
    cache.reset()
    again = vae.decode(latents[:, :, :1], cache, first=True)
    assert places == {key: (buffer.data_ptr(), buffer.shape) for key, buffer in cache._buffers.items()}
    assert torch.equal(again, vae.decode(latents[:, :, :1], None, first=True))


def test_the_memory_of_a_stream_can_be_taken_elsewhere(vae, config):
    latents = latents_for(config)
    here, there = FeatureCache(), FeatureCache()
    for i in range(2):
        vae.decode(latents[:, :, i : i + 1], here, first=not i)
        vae.decode(torch.zeros_like(latents[:, :, :1]), there, first=not i)
    there.load_state_dict(here.state_dict())
    assert torch.equal(vae.decode(latents[:, :, 2:3], here, False), vae.decode(latents[:, :, 2:3], there, False))


def test_another_size_is_refused(vae, config):
    cache = FeatureCache()
    vae.decode(torch.zeros(1, config.z_dim, 1, 2, 2), cache, first=True)
    with pytest.raises(EngineError, match="does not fit"):
        vae.decode(torch.zeros(1, config.z_dim, 1, 2, 3), cache, first=False)


def test_casting_keeps_the_scale_of_latents_exact(vae, config):
    vae.cast(torch.bfloat16)
    assert torch.equal(vae.latents_std.flatten(), torch.tensor(config.latents_std))
    assert vae.decode(latents_for(config)[:, :, :1], None, first=True).dtype == torch.bfloat16
