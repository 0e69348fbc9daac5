"""The same iteration with diffusers' own modules and the same weights, eager and compiled.

diffusers has no cache of keys and values, so there are two things to compare with:

- `Past.RECOMPUTED`: every forward runs over all latent frames that ours sees through its cache, sink and window. That
  is what its user pays for the same picture.
- `Past.IGNORED`: every forward runs over the new latent frames alone, which sees no past at all. No user could do with
  it; it bounds from below what a cache written for these modules would cost.

Both are treated kindly: one timestep for all tokens, no solver between the steps, frames left in bfloat16, no attention
to speech. The decoder is called a latent frame at a time with its own feature cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from animacy.engine.bench.measure import Spread, free_memory, time_calls
from animacy.engine.bench.theirs import their_dit, their_vae
from animacy.engine.bench.workload import Workload
from animacy.engine.config import Commit
from animacy.engine.weights import empty_dit, empty_vae, random_

_REPEATS = 20


class Past(StrEnum):
    """What a forward of theirs does about the frames before."""

    RECOMPUTED = "sink and window recomputed"
    IGNORED = "new frame alone"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What diffusers' modules take for the work of one iteration, in milliseconds; `forwards` counts the commit."""

    past: Past
    compiled: bool
    frames: int
    forwards: int
    steps: int
    denoise: Spread
    decode: Spread

    @property
    def iteration_ms(self) -> float:
        """Denoising, then decoding, as their pipelines do."""
        return self.denoise.p50 + self.decode.p50

    @property
    def overlapped_ms(self) -> float:
        """What it would take if the two ran side by side on two GPUs at no cost."""
        return max(self.denoise.p50, self.decode.p50)

    @property
    def uncommitted_ms(self) -> float:
        """The iteration without the commit, which one who recomputes the past can leave out."""
        return self.denoise.p50 * self.steps / self.forwards + self.decode.p50


def measure(work: Workload, budget_s: float, say: Callable[[str], None]) -> Iterator[Baseline]:
    """Measure what the budget allows: first eager, then compiled (on a GPU only); yields each as it is known."""
    end = time.monotonic() + budget_s
    measuring = _Measuring(work)
    for compiled in (False, True):
        if compiled and not work.on_gpu:
            say("diffusers compiled: left out, what a compiler gains on a CPU says nothing of a GPU")
            return
        if compiled:
            measuring.compile()
        decode = None
        for past in (Past.IGNORED, Past.RECOMPUTED):
            left = end - time.monotonic()
            kind = "compiled" if compiled else "eager"
            if left <= 0:
                say(f"diffusers {kind}, {past}: left out, the budget of {budget_s:g} s is used up")
                return
            say(f"diffusers {kind}, {past}")
            decode = decode or measuring.decode(left / 4)
            yield measuring.denoise(past, compiled, decode, left / 4)


class _Measuring:
    """Their two networks and the inputs of an iteration."""

    def __init__(self, work: Workload) -> None:
        preset, device = work.preset, work.device
        dit, batch = preset.dit, work.sessions
        self._preset, self._device = preset, device
        self._dit = their_dit(random_(empty_dit(dit, device)))
        self._vae = their_vae(random_(empty_vae(preset.vae, device)))
        inputs = {"device": device, "dtype": torch.bfloat16}
        self._latents = torch.randn(batch, preset.vae.z_dim, 1, *preset.latent_size(*work.size), **inputs)
        self._text = torch.zeros(batch, dit.text_len, dit.text_dim or 0, **inputs)
        free_memory()

    def compile(self) -> None:
        """Compile both from here on: the blocks as diffusers advises, the decoder as a whole."""
        free_memory()
        self._dit.compile_repeated_blocks(dynamic=False)
        self._vae.decoder.compile(dynamic=False)

    @torch.no_grad()
    def denoise(self, past: Past, compiled: bool, decode: Spread, budget_s: float) -> Baseline:
        """The forwards of an iteration."""
        stream = self._preset.stream
        frames = stream.chunk if past is Past.IGNORED else stream.sink + stream.window
        latents = self._latents.expand(-1, -1, frames, -1, -1).contiguous()
        timestep = torch.full((len(latents),), 500.0, device=self._device)
        steps = len(stream.timesteps)
        forwards = steps + (stream.commit is Commit.CLEAN)

        def iteration() -> None:
            for _ in range(forwards):
                self._dit(latents, timestep, self._text, return_dict=False)

        times = time_calls(iteration, self._device, _REPEATS, budget_s)
        return Baseline(past, compiled, frames, forwards, steps, Spread.of(times), decode)

    @torch.no_grad()
    def decode(self, budget_s: float) -> Spread:
        """The decoder in the middle of a stream, for all latent frames of an iteration."""
        features: list[Any] = [None] * self._vae._cached_conv_counts["decoder"]
        decode_latent_frame(self._vae, self._latents, features, first=True)

        def iteration() -> None:
            for _ in range(self._preset.stream.chunk):
                decode_latent_frame(self._vae, self._latents, features, first=False)

        # The cache takes its final shapes, and the compiler sees them, in the first calls.
        return Spread.of(time_calls(iteration, self._device, _REPEATS, budget_s, warmup=5))


def decode_latent_frame(vae: Any, latents: Tensor, features: list[Any], first: bool) -> Tensor:
    """Decode (batch, z_dim, 1, height, width) with their decoder and its feature cache, as their `decode` does."""
    # Imported here, since diffusers is needed for this alone.
    from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

    pixels = vae.decoder(vae.post_quant_conv(latents), feat_cache=features, feat_idx=[0], first_chunk=first)
    if vae.config.patch_size is not None:
        pixels = unpatchify(pixels, patch_size=vae.config.patch_size)
    return pixels.clamp(-1, 1)
