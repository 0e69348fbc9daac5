"""The autoencoder against diffusers' AutoencoderKLWan on random weights, and streamed against the clip in one piece."""

from __future__ import annotations

import pytest
import torch

from animacy.engine.bench.baseline import decode_latent_frame
from animacy.engine.bench.theirs import their_vae, vae_like
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


def scaled(config, latents):
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (config.latents_mean, config.latents_std))
    return latents * std + mean


def clip(config, frames=1 + 4 * (LATENT_FRAMES - 1), batch=1):
    side = 2 * config.spatial_factor
    return torch.rand(batch, 3, frames, side, side + config.spatial_factor) * 2 - 1


def latents_for(config, batch=1):
    return torch.randn(batch, config.z_dim, LATENT_FRAMES, 2, 3)


def test_encoder_and_decoder_equal_diffusers(diffusers, config):
    theirs = random_(vae_like(config))
    ours = VideoVAE(config)
    assert load_tensors(ours, theirs.state_dict()).complete
    ours.requires_grad_(False)
    video = clip(config, batch=2)
    assert relative(scaled(config, ours.encode_clip(video)), theirs.encode(video).latent_dist.mode()) <= 1e-4
    latents = latents_for(config, batch=2)
    expected = theirs.decode(scaled(config, latents)).sample
    assert expected.abs().max() > 0.1
    assert relative(ours.decode_clip(latents), expected) <= 1e-4


def test_theirs_streams_with_the_weights_of_ours(diffusers, vae, config):
    """So that what is measured beside ours does the same work."""
    theirs, latents = their_vae(vae), latents_for(config)
    features = [None] * theirs._cached_conv_counts["decoder"]
    raw = scaled(config, latents).split(1, dim=2)
    pieces = [decode_latent_frame(theirs, latent, features, first=not i) for i, latent in enumerate(raw)]
    assert relative(vae.decode_clip(latents), torch.cat(pieces, dim=2)) <= 1e-4


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
    vae.optimize()
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
    for name, past in there.tensors().items():
        past.copy_(here.tensors()[name])
    assert torch.equal(vae.decode(latents[:, :, 2:3], here, False), vae.decode(latents[:, :, 2:3], there, False))


def test_sessions_share_buffers_and_nothing_else(vae, config):
    latents, other = latents_for(config), latents_for(config).flip(2)
    shared = FeatureCache(sessions=2)
    for first in (True, False):
        vae.decode(torch.zeros(2, *latents[0, :, :1].shape), shared, first)
    alone = [FeatureCache(), FeatureCache()]
    for i, session in enumerate((latents, other)):
        view = shared.session(i)
        view.reset()
        begun = vae.decode(session[:, :, :1], view, first=True)
        assert torch.equal(begun, vae.decode(session[:, :, :1], alone[i], first=True))
    together = vae.decode(torch.cat((latents, other))[:, :, 1:2], shared, first=False)
    for i, session in enumerate((latents, other)):
        assert relative(together[[i]], vae.decode(session[:, :, 1:2], alone[i], first=False)) <= 1e-5


def test_another_size_is_refused(vae, config):
    cache = FeatureCache()
    vae.decode(torch.zeros(1, config.z_dim, 1, 2, 2), cache, first=True)
    with pytest.raises(EngineError, match="does not fit"):
        vae.decode(torch.zeros(1, config.z_dim, 1, 2, 3), cache, first=False)


def test_casting_keeps_the_scale_of_latents_exact(vae, config):
    vae.cast(torch.bfloat16)
    assert torch.equal(vae.latents_std.flatten(), torch.tensor(config.latents_std))
    assert vae.decode(latents_for(config)[:, :, :1], None, first=True).dtype == torch.bfloat16
