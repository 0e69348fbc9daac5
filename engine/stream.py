"""One character's video, generated as its speech arrives: some latent frames at a time, for ever.

The loop is that of few-step autoregressive video diffusion (CausVid, arXiv:2412.07772; Self Forcing, arXiv:2506.08009):
denoise the next latent frames in a few steps, each step seeing the past through a cache of keys and values; commit them
to the cache; decode them. Nothing grows with the length of the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from animacy.engine.cache import KVCache, Placement, RollingWindow
from animacy.engine.config import Commit, Preset
from animacy.engine.errors import EngineError
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.models.attention import KeysValues
from animacy.engine.models.causal_conv import FeatureCache
from animacy.engine.models.dit import Conditions, TimeEmbedding
from animacy.engine.models.rope import RotaryEmbedding
from animacy.engine.schedule import Step, steps_of

_STATE_VERSION = 1


class Stream:
    """Generates a batch of videos in lockstep (one, usually) from a picture each.

    Args:
        preset: shapes and schedule; `dit` and `vae` must be of its configuration.
        dit: the transformer, on the device that generates.
        vae: the autoencoder; it may be on another device, and the frames come from there.
        height: of the picture in pixels, a multiple of `preset.pixel_step`; None takes the preset's size.
        width: as `height`.
        batch: how many videos.
        seed: of the noise; two streams with the same seed and input draw the same frames.

    Raises:
        EngineError: the size does not divide, or the models are of another configuration.

    All methods are called from one thread, except `interrupt`.
    """

    def __init__(
        self,
        preset: Preset,
        dit: VideoDiT,
        vae: VideoVAE,
        height: int | None = None,
        width: int | None = None,
        batch: int = 1,
        seed: int = 0,
    ) -> None:
        if (dit.config, vae.config) != (preset.dit, preset.vae):
            raise EngineError(f"the models were not made for preset {preset.name}", "load both with its configuration")
        self.preset = preset
        self.size = (height or preset.size[0], width or preset.size[1])
        self._dit = dit
        self._vae = vae
        self._batch = batch
        self._seed = seed
        self._latent_size = preset.latent_size(*self.size)
        self._grid = preset.dit.grid(*self._latent_size)
        self._steps = steps_of(preset.stream)
        self._allocate()
        self.reset()

    def _allocate(self) -> None:
        """Make everything that lives as long as the stream; afterwards no address changes."""
        preset, device, chunk = self.preset, self._dit.device, self.preset.stream.chunk
        tokens = self._grid[0] * self._grid[1]
        self._rope = RotaryEmbedding(preset.dit, device)
        self._window = RollingWindow(preset.stream.sink, preset.stream.window, preset.dit.max_position)
        count = len(self._steps) if preset.stream.commit is Commit.ALIGNED else 1
        self._caches = tuple(
            KVCache(preset.dit, preset.stream, self._rope, self._batch, tokens, self._dit.dtype, device)
            for _ in range(count)
        )
        self._features = FeatureCache()
        self._generator = torch.Generator(device)
        self._noise = torch.empty(
            len(self._steps), self._batch, preset.dit.out_channels, chunk, *self._latent_size, device=device
        )
        self._latents = torch.empty_like(self._noise[0])
        self._angles = self._rope.angles(torch.arange(chunk, device=device), *self._grid)
        self._times = tuple(self._embed_time(step.timestep) for step in self._steps)
        self._clean_time = self._embed_time(0.0)
        with torch.inference_mode():
            self._text = self._dit.embed_text(None, self._batch)
            self._audio = self._dit.embed_audio(self._silence(chunk))
        self._turn = 0

    @torch.inference_mode()
    def start(self, image: Tensor, prompt_embeds: Tensor | None = None) -> Tensor:
        """Begin anew from a picture.

        Args:
            image: (height, width, 3) or (batch, height, width, 3), uint8 RGB, of the stream's size.
            prompt_embeds: (batch, words, text_dim) of the text encoder, for presets with text; None is no prompt.

        Returns:
            The first frame as the autoencoder gives the picture back, (batch, 1, height, width, 3), uint8.

        Raises:
            EngineError: the picture or the prompt has the wrong shape.
        """
        self.reset()
        pixels = self._pixels(image)
        _assign(self._text, self._dit.embed_text(prompt_embeds, self._batch))
        latents = self._vae.encode(pixels, None, first=True).to(self._dit.device)
        placement = self._window.place(1)
        cache = self._caches[0]
        cache.begin(placement)
        angles = self._rope.angles(torch.tensor([placement.position], device=self._dit.device), *self._grid)
        conditions = Conditions(self._text, self._dit.embed_audio(self._silence(1)))
        self._dit(latents, self._clean_time, angles, conditions, cache)
        # The picture is clean, so every noise level sees the same keys and values of it.
        for other in self._caches[1:]:
            other.copy_(cache)
        self._window.advance(1)
        self._started = True
        return self._decode(latents, first=True)

    @torch.inference_mode()
    def step(self, audio_window: Tensor | None = None) -> Tensor | None:
        """Generate the next chunk.

        Args:
            audio_window: speech features around each latent frame of the chunk, (batch, chunk, window, feature_dim) as
                the preset's `AudioConfig` says; None is silence (zeros).

        Returns:
            (batch, chunk * temporal_factor, height, width, 3), uint8 RGB on the autoencoder's device; None when
            `interrupt` was called meanwhile: the chunk is given up, and the next step follows what came before it.

        Raises:
            EngineError: nothing was started, or the features have the wrong shape.
        """
        if not self._started:
            raise EngineError("the stream was not started", "call start with a picture first")
        turn = self._turn
        placement = self._prepare(audio_window)
        if not self._denoise(turn):
            return None
        self._count(placement)
        return self._decode(self._latents, first=False)

    def interrupt(self) -> None:
        """Give up the chunk in progress, if there is one, at its next denoising step; may be called from any thread.

        The picture stays continuous: what was shown remains the past, and the next step goes on from there.
        """
        self._turn += 1

    @torch.inference_mode()
    def reset(self) -> None:
        """Forget everything but the models, keeping all memory, ready for `start`."""
        self._window.reset()
        for cache in self._caches:
            cache.reset()
        self._features.reset()
        self._generator.manual_seed(self._seed)
        self._latents.zero_()
        self._started = False

    def state_dict(self) -> dict[str, Any]:
        """All that the next frames depend on, copied; plain containers, integers and tensors."""
        return {
            "version": _STATE_VERSION,
            "preset": self.preset.name,
            "size": self.size,
            "batch": self._batch,
            "window": self._window.state_dict(),
            "caches": [cache.state_dict() for cache in self._caches],
            "features": self._features.state_dict(),
            "text": {layer: tuple(one.clone() for one in pair) for layer, pair in self._text.items()},
            "generator": self._generator.get_state(),
            "started": self._started,
        }

    @torch.inference_mode()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was called, on a stream of the same preset, size and batch.

        Raises:
            EngineError: the state is of another kind of stream.
        """
        mine = (_STATE_VERSION, self.preset.name, self.size, self._batch)
        theirs = (state["version"], state["preset"], tuple(state["size"]), state["batch"])
        if mine != theirs:
            raise EngineError(f"the state is of {theirs}, this stream is {mine}", "make a stream like the one it is of")
        if not self._features.state_dict():
            self._warm_features()
        self._window.load_state_dict(state["window"])
        for cache, held in zip(self._caches, state["caches"], strict=True):
            cache.load_state_dict(held)
        self._features.load_state_dict(state["features"])
        _assign(self._text, state["text"])
        self._generator.set_state(state["generator"])
        self._started = state["started"]

    def _prepare(self, audio_window: Tensor | None) -> Placement:
        """Fill in what differs from one iteration to the next; all of it outside what a graph would replay."""
        chunk, device = self.preset.stream.chunk, self._dit.device
        placement = self._window.place(chunk)
        for cache in self._caches:
            cache.begin(placement)
        positions = torch.arange(placement.position, placement.position + chunk, device=device)
        self._angles.copy_(self._rope.angles(positions, *self._grid))
        _assign(self._audio, self._dit.embed_audio(self._checked(audio_window)))
        self._draw_noise()
        return placement

    def _draw_noise(self) -> None:
        """Fresh noise for every step of the iteration."""
        self._noise.normal_(generator=self._generator)

    def _denoise(self, turn: int) -> bool:
        """All steps of an iteration and the commit, on static buffers; false when given up."""
        latents = self._noise[0]
        for index, (step, time) in enumerate(zip(self._steps, self._times, strict=True)):
            if turn != self._turn:
                return False
            latents = self._denoise_once(latents, step, time, index)
        if self.preset.stream.commit is Commit.CLEAN:
            self._predict(latents, self._clean_time, self._caches[0])
        self._latents.copy_(latents)
        return turn == self._turn

    def _denoise_once(self, latents: Tensor, step: Step, time: TimeEmbedding, index: int) -> Tensor:
        """One denoising step; with aligned caches it sees the past at its own noise level."""
        velocity = self._predict(latents, time, self._caches[index % len(self._caches)])
        return step.advance(latents, velocity, self._noise[(index + 1) % len(self._steps)])

    def _predict(self, latents: Tensor, time: TimeEmbedding, cache: KVCache) -> Tensor:
        """The velocity of the chunk, whose keys and values replace those of the step before."""
        return self._dit(latents, time, self._angles, Conditions(self._text, self._audio), cache)

    def _decode(self, latents: Tensor, first: bool) -> Tensor:
        """Frames of a chunk, a latent frame at a time, as uint8; depends on nothing of the transformer's state."""
        chunks = latents.to(self._vae.device).split(1, dim=2)
        return _to_uint8(torch.cat([self._vae.decode(chunk, self._features, first) for chunk in chunks], dim=2))

    def _count(self, placement: Placement) -> None:
        """Count the chunk, and turn the rings back in the rare case that positions run out."""
        turn = self._window.advance(placement.frames)
        if turn:
            for cache in self._caches:
                cache.turn_back(turn)

    def _embed_time(self, timestep: float) -> TimeEmbedding:
        """One timestep for all tokens; a group of 1 broadcasts over batch and tokens."""
        with torch.inference_mode():
            return self._dit.embed_time(torch.full((1, 1), timestep, device=self._dit.device))

    def _silence(self, frames: int) -> Tensor:
        """Features of no speech."""
        audio = self.preset.dit.audio
        shape = (audio.window, audio.feature_dim) if audio is not None else (0, 0)
        return torch.zeros(self._batch, frames, *shape, device=self._dit.device)

    def _checked(self, audio_window: Tensor | None) -> Tensor:
        """The features if they have the right shape, silence if there are none."""
        silence = self._silence(self.preset.stream.chunk)
        if audio_window is None:
            return silence
        if self.preset.dit.audio is None:
            raise EngineError(f"preset {self.preset.name} does not listen", "leave audio_window out")
        if audio_window.shape != silence.shape:
            raise EngineError(f"audio_window is {tuple(audio_window.shape)}, not {tuple(silence.shape)}")
        return audio_window.to(silence.device)

    def _pixels(self, image: Tensor) -> Tensor:
        """A uint8 picture as (batch, 3, 1, height, width) in [-1, 1]."""
        wanted = (self._batch, *self.size, 3)
        pictures = image if image.dim() == 4 else image.unsqueeze(0)
        if image.dtype != torch.uint8 or tuple(pictures.shape) not in (wanted, (1, *wanted[1:])):
            raise EngineError(
                f"the picture is {tuple(image.shape)} of {image.dtype}, not {wanted} of torch.uint8",
                f"resize it to {self.size[1]}x{self.size[0]} RGB",
            )
        pixels = pictures.expand(wanted).to(self._vae.device).permute(0, 3, 1, 2).unsqueeze(2)
        return pixels.float() / 127.5 - 1

    def _warm_features(self) -> None:
        """Decode nothing once, so that the feature cache has its buffers before a state is loaded into them."""
        nothing = torch.zeros_like(self._latents[:, :, :1])
        for first in (True, False):
            self._decode(nothing, first)


def _assign(mine: Mapping[int, KeysValues], theirs: Mapping[int, KeysValues]) -> None:
    """Copy projected contexts into place."""
    for layer, pair in mine.items():
        for target, source in zip(pair, theirs[layer], strict=True):
            target.copy_(source)


def _to_uint8(frames: Tensor) -> Tensor:
    """(batch, 3, t, height, width) in [-1, 1] to (batch, t, height, width, 3) of 0 to 255."""
    return ((frames.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 4, 1).contiguous()
