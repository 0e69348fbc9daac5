"""The plan of memory: its counts against what is really made, and what it says when something does not fit."""

from __future__ import annotations

import pytest
import torch

from animacy.engine.cache import KVCache
from animacy.engine.config import PRESETS, Commit
from animacy.engine.errors import EngineError
from animacy.engine.models.causal_conv import FeatureCache
from animacy.engine.models.rope import RotaryEmbedding
from animacy.engine.plan import plan
from animacy.engine.spread import SPREADS
from animacy.engine.weights import empty_dit, empty_vae, random_
from tests.engine.helpers import TINY, TINY_21, with_stream

ALIGNED = with_stream(TINY, commit=Commit.ALIGNED, sink=2, memory=4)
GIB = 2**30


def nbytes(tensors):
    return sum(tensor.nbytes for tensor in tensors)


def pairs(contexts):
    return nbytes(tensor for pair in contexts.values() for tensor in pair)


@pytest.mark.parametrize("preset", [TINY, ALIGNED], ids=["clean", "aligned"])
@pytest.mark.parametrize("sessions", [1, 2])
def test_the_counts_are_those_of_what_is_really_made(preset, sessions):
    dit, vae = random_(empty_dit(preset.dit)), random_(empty_vae(preset.vae))
    grid = preset.dit.grid(*preset.latent_size(64, 96))
    cache = KVCache(preset.dit, preset.stream, RotaryEmbedding(preset.dit), sessions, grid, dit.dtype, dit.device)
    steps = len(preset.stream.timesteps) if preset.stream.commit is Commit.ALIGNED else 1
    features = FeatureCache()
    latents = torch.zeros(sessions, preset.vae.z_dim, 1, *preset.latent_size(64, 96))
    for first in (True, False):
        vae.decode(latents, features, first)
    audio = preset.dit.audio
    speech = dit.embed_audio(torch.zeros(sessions, preset.stream.chunk, audio.window, audio.feature_dim))
    planned = {item.name: item.bytes for item in plan(preset, 64, 96, sessions).items if item.exact}
    assert planned == {
        "transformer weights": nbytes(dit.parameters()),
        "autoencoder weights": nbytes([*vae.parameters(), *vae.buffers()]),
        "keys and values of the video": steps * nbytes((cache.keys, cache.values, cache.sink_keys)),
        "keys and values of prompts": pairs(dit.embed_text(None, sessions)),
        "keys and values of speech": pairs(speech),
        "feature cache of the decoder": nbytes(features._buffers.values()),
    }


def test_what_a_preset_lacks_is_not_in_its_plan():
    names = {item.name for item in plan(TINY_21).items}
    assert "keys and values of prompts" not in names and "keys and values of speech" not in names


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_plan_and_a_table(name):
    planned = plan(PRESETS[name])
    assert name in planned.lines[0]
    assert len(planned.lines) == len(planned.items) + 2
    planned.check(planned.bytes_on(0))


def test_float32_takes_twice_the_cache_of_bfloat16():
    half, full = (
        next(item.bytes for item in plan(TINY, dtype=dtype).items if "of the video" in item.name)
        for dtype in ("bf16", "fp32")
    )
    assert full == 2 * half


def test_a_decoder_on_its_own_gpu_is_counted_there():
    together, apart = plan(TINY), plan(TINY, gpus=2)
    assert apart.bytes_on(0) + apart.bytes_on(1) == together.bytes_on(0)
    assert {item.name for item in apart.items if item.device == 1} == {
        "autoencoder weights",
        "feature cache of the decoder",
        "activations of the decoder",
    }
    apart.check({1: apart.bytes_on(1)})
    with pytest.raises(EngineError, match="GPU 0 needs"):
        apart.check({0: apart.bytes_on(0) - 1, 1: 10 * GIB})


@pytest.mark.parametrize("gpus", [3, 4, 5])
def test_those_who_share_a_network_have_a_part_of_what_it_takes(gpus):
    preset, shared = PRESETS["wan22-5b"], SPREADS[gpus]
    one, several = plan(preset, gpus=2), plan(preset, gpus=gpus)
    before, after = (
        [{item.name: item.bytes for item in planned.items if item.device == gpu} for gpu in range(planned.devices)]
        for planned in (one, several)
    )
    transformers, decoders = after[: shared.dit], after[shared.dit :]
    assert transformers == transformers[:1] * shared.dit and decoders == decoders[:1] * shared.vae
    for name in ("keys and values of the video", "keys and values of prompts", "keys and values of speech"):
        assert transformers[0][name] * shared.dit == before[0][name]
    assert 1 < transformers[0]["transformer weights"] * shared.dit / before[0]["transformer weights"] < 1.1
    assert decoders[0]["autoencoder weights"] == before[1]["autoencoder weights"]
    assert (
        1 <= decoders[0]["feature cache of the decoder"] * shared.vae / before[1]["feature cache of the decoder"] < 1.1
    )
    with pytest.raises(EngineError, match="spread it over 5 GPUs"):
        plan(preset, gpus=4).check(GIB)


def test_what_does_not_fit_is_refused_with_what_would_help():
    crowded = plan(PRESETS["wan22-5b"], sessions=16)
    with pytest.raises(EngineError) as refusal:
        crowded.check(79 * GIB)
    message = str(refusal.value)
    for part in ("GPU 0 needs", "79.0 GiB free", "too little", "wan22-5b-light", "a GPU of its own", "smaller size"):
        assert part in message
    fitting = int(message.split("at most ")[1].split()[0])
    plan(PRESETS["wan22-5b"], sessions=fitting).check(79 * GIB)
    with pytest.raises(EngineError):
        plan(PRESETS["wan22-5b"], sessions=fitting + 1).check(79 * GIB)


def test_weights_alone_too_large_give_no_number_of_sessions():
    with pytest.raises(EngineError) as refusal:
        plan(PRESETS["s2v-14b"]).check(24 * GIB)
    assert "at most" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "choose one of bf16"),
        ({"sessions": 0}, "1 or more"),
        ({"height": 65}, "multiples of"),
        ({"gpus": 9}, "1 or 2 or 3 or 4 or 5"),
        ({"gpus": 5}, "let it have 1 or 2 of them"),
    ],
    ids=str,
)
def test_what_cannot_be_planned(options, message):
    with pytest.raises(EngineError, match=message):
        plan(TINY, **options)
