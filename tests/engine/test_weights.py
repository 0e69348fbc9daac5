"""Checkpoints: both namings load and round-trip, strictly, and what does not fit is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from animacy.engine.config import PRESETS
from animacy.engine.errors import WeightsError
from animacy.engine.layouts import Layout, layouts
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.models.dit import Conditions
from animacy.engine.weights import empty_dit, empty_vae, export, load, load_dit, load_tensors, load_vae, random_, save
from tests.engine.helpers import TINY, TINY_21, angles

MODELS = {
    "dit with text and speech": lambda: VideoDiT(TINY.dit),
    "dit without": lambda: VideoDiT(TINY_21.dit),
    "vae 2.2": lambda: VideoVAE(TINY.vae),
    "vae 2.1": lambda: VideoVAE(TINY_21.vae),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def build(request):
    return request.param


@pytest.mark.parametrize("layout", Layout)
def test_a_layout_round_trips_through_a_file(build, layout, tmp_path):
    model, other = random_(build(), 1), random_(build(), 2)
    path = tmp_path / "model.safetensors"
    save(model, path, layout)
    report = load(other, path)
    assert report.complete and report.layout is layout
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_every_parameter_is_filled_exactly_once(build):
    model = build()
    for slots in layouts(model).values():
        filled = dict.fromkeys(dict(model.named_parameters()), 0)
        for slot in slots.values():
            filled[slot.parameter] += slot.rows or model.get_parameter(slot.parameter).shape[0]
        assert filled == {name: parameter.shape[0] for name, parameter in model.named_parameters()}


def test_names_of_the_wan_repositories():
    names = layouts(VideoDiT(TINY.dit))[Layout.ORIGINAL]
    assert {
        "patch_embedding.weight",
        "text_embedding.2.bias",
        "time_projection.1.weight",
        "blocks.1.modulation",
        "blocks.1.self_attn.q.weight",
        "blocks.1.self_attn.norm_k.weight",
        "blocks.1.cross_attn.v.bias",
        "blocks.1.norm3.weight",
        "blocks.1.ffn.2.weight",
        "head.head.weight",
        "head.modulation",
    } <= names.keys()
    assert not [name for name in names if ".norm2." in name or "qkv" in name]
    flat = layouts(VideoVAE(TINY_21.vae))[Layout.ORIGINAL]
    assert {
        "encoder.conv1.weight",
        "encoder.downsamples.2.resample.1.weight",
        "encoder.downsamples.5.time_conv.weight",
        "encoder.downsamples.9.residual.6.bias",
        "encoder.middle.1.to_qkv.weight",
        "decoder.upsamples.4.shortcut.weight",
        "decoder.upsamples.7.time_conv.weight",
        "decoder.upsamples.14.residual.0.gamma",
        "decoder.head.2.bias",
        "conv2.weight",
    } <= flat.keys()
    nested = layouts(VideoVAE(TINY.vae))[Layout.ORIGINAL]
    assert {
        "encoder.downsamples.1.downsamples.1.time_conv.weight",
        "decoder.upsamples.0.upsamples.2.resample.1.weight",
        "decoder.upsamples.3.upsamples.1.residual.3.gamma",
        "decoder.middle.2.residual.2.weight",
    } <= nested.keys()


@pytest.mark.parametrize("name", ["wan22-5b", "wan21-1.3b", "s2v-14b"])
def test_the_big_presets_have_the_names_and_shapes_of_diffusers(diffusers, name):
    config = replace(PRESETS[name].dit, audio=None, num_layers=1)
    with torch.device("meta"):
        ours = VideoDiT(config)
        theirs = diffusers.WanTransformer3DModel(
            num_attention_heads=config.num_heads,
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            ffn_dim=config.ffn_dim,
            num_layers=1,
        )
    shapes = {key: tensor.shape for key, tensor in export(ours, Layout.DIFFUSERS).items()}
    assert shapes == {key: tensor.shape for key, tensor in theirs.state_dict().items()}


def test_the_two_layouts_swap_the_norms():
    both = layouts(VideoDiT(TINY.dit))
    assert both[Layout.ORIGINAL]["blocks.0.norm3.weight"] == both[Layout.DIFFUSERS]["blocks.0.norm2.weight"]


def test_shards_in_a_folder_and_a_prefix(tmp_path):
    model = random_(VideoDiT(TINY_21.dit))
    tensors = {f"model.{name}": tensor for name, tensor in export(model, Layout.ORIGINAL).items()}
    names = sorted(tensors)
    for i in range(2):
        save_file({name: tensors[name] for name in names[i::2]}, tmp_path / f"part-{i}.safetensors")
    loaded, report = load_dit(TINY_21.dit, tmp_path, dtype=torch.float32)
    assert report.prefix == "model." and report.complete
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))


def test_loading_in_bfloat16_keeps_what_needs_precision(tmp_path):
    model = random_(VideoDiT(TINY.dit))
    save(model, tmp_path / "dit.safetensors")
    loaded, _ = load_dit(TINY.dit, tmp_path / "dit.safetensors")
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded.blocks[0].modulation, model.blocks[0].modulation)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    vae = random_(VideoVAE(TINY.vae))
    save(vae, tmp_path / "vae.safetensors", Layout.DIFFUSERS)
    assert load_vae(TINY.vae, tmp_path / "vae.safetensors")[0].dtype == torch.bfloat16


def test_what_does_not_fit_is_named():
    model = VideoDiT(TINY.dit)
    tensors = export(model, Layout.ORIGINAL)
    del tensors["blocks.2.ffn.0.bias"]
    tensors["blocks.9.ffn.0.bias"] = torch.zeros(1)
    tensors["head.head.bias"] = torch.zeros(3)
    with pytest.raises(WeightsError) as error:
        load_tensors(model, tensors)
    for name in ("missing: blocks.2.ffn.0.bias", "unexpected: blocks.9.ffn.0.bias", "head.head.bias (3,)"):
        assert name in str(error.value)
    report = load_tensors(model, tensors, strict=False)
    assert not report.complete and report.loaded == len(tensors) - 2


def test_a_checkpoint_without_speech_loads_if_asked_and_speech_then_adds_nothing(tmp_path):
    mute = random_(VideoDiT(replace(TINY.dit, audio=None)))
    save(mute, tmp_path / "mute.safetensors")
    with pytest.raises(WeightsError, match="audio"):
        load_dit(TINY.dit, tmp_path / "mute.safetensors")
    loaded, report = load_dit(TINY.dit, tmp_path / "mute.safetensors", strict=False)
    assert report.missing and not report.unexpected
    assert loaded.blocks[0].audio_attn.o.weight.abs().max() == 0


def test_no_file_and_a_damaged_one(tmp_path):
    with pytest.raises(WeightsError, match="no safetensors weights"):
        load(VideoDiT(TINY_21.dit), tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match="damaged"):
        load(VideoDiT(TINY_21.dit), tmp_path / "x.safetensors")


@pytest.mark.parametrize("name", ["wan22-5b", "wan21-1.3b", "spark"])
def test_random_weights_keep_a_deep_transformer_in_the_range_of_bfloat16(name):
    """As many layers as the preset has, but narrow: a shallow one would not show what grows from block to block."""
    preset = PRESETS[name]
    audio = preset.dit.audio
    narrow = replace(preset.dit, dim=96, num_heads=2, ffn_dim=192, text_len=4, audio=audio)
    model = random_(VideoDiT(narrow).cast(torch.bfloat16), 3)
    latents = torch.randn(1, narrow.in_channels, 1, 8, 8)
    speech = torch.randn(1, 1, audio.window, audio.feature_dim)
    conditions = Conditions(model.embed_text(None, 1), model.embed_audio(speech))
    velocity = model(latents, model.embed_time(torch.tensor([[500.0]])), angles(narrow, 1, 4, 4), conditions)
    assert 0.1 < velocity.std() < 10


def test_random_weights_are_those_of_their_seed():
    one, same, other = (random_(VideoVAE(TINY.vae), seed).decoder.conv_in.weight for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_network_is_made_in_its_precision_and_place():
    for model in (empty_dit(TINY.dit), empty_vae(TINY.vae)):
        assert model.dtype == torch.bfloat16 and not model.training
        assert not any(parameter.requires_grad or parameter.is_meta for parameter in model.parameters())
    assert torch.equal(empty_vae(TINY.vae).latents_std.flatten(), torch.tensor(TINY.vae.latents_std))
