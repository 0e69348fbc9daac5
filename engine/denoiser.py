"""One iteration of the transformer for some sessions: from noise to the next latent frames, committed to the cache.

The loop is that of few-step autoregressive video diffusion (CausVid, arXiv:2412.07772; Self Forcing, arXiv:2506.08009):
denoise the next latent frames in a few steps, each step seeing the past through a cache of keys and values; commit them
to the cache. All of it works on static memory and is two CUDA graphs: one from the projection of the speech to the
latents, which can be decoded from then on, and one for the clean pass that commits them, where there is one.

Where several ranks share the transformer, each has a denoiser of its own, with its share of the heads. What is done to
one of them is done to all (`Team.doing`), so that they hold the same noise, speech and positions, and replay the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from animacy.engine.cache import CachedFrames, KVCache, Leaving, Placement
from animacy.engine.config import Commit, Preset
from animacy.engine.graphs import Replayed
from animacy.engine.models import VideoDiT
from animacy.engine.models.attention import KeysValues
from animacy.engine.models.dit import Conditions, TimeEmbedding
from animacy.engine.models.rope import RotaryEmbedding
from animacy.engine.schedule import steps_of
from animacy.engine.team import NOBODY, Team, led

_Key = tuple[int, bool, bool, bool]
"""How many sessions; whether all slots of all are filled, whether any has a prompt, whether it is the clean pass."""


class Denoiser:
    """Holds what the transformer remembers of up to `capacity` sessions, and takes the first of them forward together.

    Args:
        preset: of `dit`.
        dit: the transformer.
        height: of the picture in pixels.
        width: of the picture in pixels.
        capacity: how many sessions there is room for.
        team: those who have the other parts of the transformer and follow this one.

    Work is enqueued on `stream` (None on the CPU, where it is done at once).
    """

    def __init__(
        self, preset: Preset, dit: VideoDiT, height: int, width: int, capacity: int, team: Team = NOBODY
    ) -> None:
        dit.optimize()
        self.preset, self._dit, self.team = preset, dit, team
        device, stream, chunk = dit.device, preset.stream, preset.stream.chunk
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        latent = preset.latent_size(height, width)
        self._grid = preset.dit.grid(*latent)
        self._steps = steps_of(stream)
        self._rope = RotaryEmbedding(preset.dit, device)
        count = len(self._steps) if stream.commit is Commit.ALIGNED else 1
        self.caches = tuple(
            KVCache(preset.dit, stream, self._rope, capacity, self._grid, dit.dtype, device, dit.ranks.size)
            for _ in range(count)
        )
        shape = (preset.dit.out_channels, chunk, *latent)
        self.noise = torch.zeros(capacity, len(self._steps), *shape, device=device)
        self.latents = torch.zeros(capacity, *shape, device=device)
        self.features = self.silence(capacity, chunk)
        self._generators = [torch.Generator(device) for _ in range(capacity)]
        self._placements = torch.zeros(capacity, 4, dtype=torch.int64, device=device)
        self._replayed: Replayed[_Key] = Replayed(self._work, self.stream)
        self._passes = (False, True) if stream.commit is Commit.CLEAN else (False,)
        with torch.inference_mode():
            self._times = tuple(self._embed_time(step.timestep) for step in self._steps)
            self._clean_time = self._embed_time(0.0)
            self.text = dit.embed_text(None, capacity)
            self._unprompted = dit.unprompted()

    def close(self) -> None:
        """Let go of the graphs; nothing can be replayed any more."""
        self._replayed.close()

    def silence(self, sessions: int, frames: int) -> Tensor:
        """Features of no speech: (sessions, frames, window, feature_dim) of zeros."""
        audio = self.preset.dit.audio
        shape = (audio.window, audio.feature_dim) if audio is not None else (0, 0)
        return torch.zeros(sessions, frames, *shape, device=self._dit.device)

    @led
    @torch.inference_mode()
    def capture(self, sessions: int) -> None:
        """Make iterations of so many sessions replayable; spoils what is remembered of them."""
        for prompted in (False, True) if self.text else (False,):
            for full in (False, True):
                for clean in self._passes:
                    self._replayed.capture((sessions, full, prompted, clean))

    @led
    @torch.inference_mode()
    def begin(
        self, session: int, latent: Tensor, prompt_embeds: Tensor | None, placement: Placement, seed: int
    ) -> None:
        """Write a session's picture, (1, channels, 1, height, width), as the first frame of its past; then `commit` it.

        Its noise begins with `seed`.
        """
        self._generators[session].manual_seed(seed)
        with on(self.stream):
            self.set_text(session, self._dit.embed_text(prompt_embeds, 1))
            place = torch.tensor([placement.position], device=self._dit.device)
            angles = self._rope.angles(place, *self._grid)
            prompt = {layer: (k[session, None], v[session, None]) for layer, (k, v) in self.text.items()}
            text = self._unprompted if prompt_embeds is None else prompt
            conditions = Conditions(text, self._dit.embed_audio(self.silence(1, 1)))
            latent = latent.to(self._dit.device)
            # The picture is clean, so every noise level sees the same keys and values of it.
            for cache in self.caches:
                self._dit.remember(latent, self._clean_time, angles, conditions, cache.first(session))

    def set_text(self, session: int, text: Mapping[int, KeysValues]) -> None:
        """Take over a session's projected prompt."""
        for layer, pair in self.text.items():
            for target, source in zip(pair, text[layer], strict=True):
                target[session].copy_(source.squeeze(0))

    @led
    @torch.inference_mode()
    def iterate(self, placements: Sequence[Placement], prompted: bool, speech: Sequence[Tensor | None]) -> None:
        """Generate the next chunk of the first sessions into `latents`, from fresh noise.

        Args:
            placements: where each of them is.
            prompted: whether any of them has a prompt.
            speech: what each of them says, (chunk, window, feature_dim); None is silence.
        """
        self.draw(len(placements))
        numbers = torch.tensor([placement.numbers() for placement in placements])
        with on(self.stream):
            for features, given in zip(self.features, speech, strict=False):
                features.zero_() if given is None else features.copy_(given, non_blocking=True)
            self._placements[: len(placements)].copy_(_pinned(numbers, self.stream), non_blocking=True)
        self._replayed(self._key(placements, prompted, clean=False))

    @led
    @torch.inference_mode()
    def remember(self, placements: Sequence[Placement], prompted: bool) -> None:
        """Let later frames see what `iterate`, called before with the same, has generated."""
        if True in self._passes:
            self._replayed(self._key(placements, prompted, clean=True))

    def _key(self, placements: Sequence[Placement], prompted: bool, clean: bool) -> _Key:
        slots = self.caches[0].slots
        return len(placements), all(placement.seen == slots for placement in placements), prompted, clean

    def draw(self, sessions: int) -> None:
        """Fresh noise for the first sessions, each of its own."""
        with on(self.stream):
            for noise, generator in zip(self.noise[:sessions], self._generators, strict=False):
                noise.normal_(generator=generator)

    @led
    @torch.inference_mode()
    def commit(self, session: int, placement: Placement, frames: int, leaving: Leaving | None, turn: int) -> None:
        """After `frames` that count: keep the sink, remember what leaves the window, and turn back what is due."""
        with on(self.stream):
            for cache in self.caches:
                cache.keep_sink(session, placement, frames)
                if leaving is not None:
                    cache.pool(session, leaving)
                if turn:
                    cache.turn_back(session, turn)

    @led
    @torch.inference_mode()
    def move(self, session: int, place: int) -> None:
        """Let a session be where another was."""
        self._generators[place].set_state(self._generators[session].get_state())
        with on(self.stream):
            for name, tensor in self._tensors(place).items():
                tensor.copy_(self._tensors(session)[name])

    @led
    @torch.inference_mode()
    def state(self, session: int) -> dict[str, Tensor]:
        """All that the next iterations of a session depend on, copied, however many ranks there are."""
        with on(self.stream):
            # Whatever is remembered is (..., heads, head_dim).
            whole = {name: self._dit.ranks.all_gather(one, -2) for name, one in self._tensors(session).items()}
            return {name: one.clone() for name, one in whole.items()} | {
                "generator": self._generators[session].get_state()
            }

    @led
    @torch.inference_mode()
    def set_state(self, session: int, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was called."""
        self._generators[session].set_state(state["generator"])
        with on(self.stream):
            for name, tensor in self._tensors(session).items():
                tensor.copy_(self._dit.ranks.part(state[name], -2))

    def _tensors(self, session: int) -> dict[str, Tensor]:
        """Views of all that is remembered of a session."""
        named = {f"text.{layer}.{i}": one[session] for layer, pair in self.text.items() for i, one in enumerate(pair)}
        for index, cache in enumerate(self.caches):
            named |= {f"cache.{index}.{name}": tensor for name, tensor in cache.tensors(session).items()}
        return named

    def _work(self, key: _Key) -> None:
        """The denoising steps, or the clean pass after them, on the device."""
        sessions, full, prompted, clean = key
        placements = self._placements[:sessions]
        memories = [cache.window(placements) for cache in self.caches]
        mask = None if full else self.caches[0].seen(placements)
        frames = torch.arange(self.preset.stream.chunk, device=placements.device)
        angles = self._rope.angles(placements[:, 2:3] + frames, *self._grid)
        prompts = {layer: (k[:sessions], v[:sessions]) for layer, (k, v) in self.text.items()}
        speech = self._dit.embed_audio(self.features[:sessions])
        conditions = Conditions(prompts if prompted else self._unprompted, speech)
        if clean:
            latents = self.latents[:sessions]
            self._dit.remember(latents, self._clean_time, angles, conditions, memories[0], mask)
            return

        def predict(latents: Tensor, time: TimeEmbedding, memory: CachedFrames) -> Tensor:
            return self._dit(latents, time, angles, conditions, memory, mask)

        noise = self.noise[:sessions]
        latents = noise[:, 0]
        for index, (step, time) in enumerate(zip(self._steps, self._times, strict=True)):
            velocity = predict(latents, time, memories[index % len(memories)])
            latents = step.advance(latents, velocity, noise[:, (index + 1) % len(self._steps)])
        self.latents[:sessions].copy_(latents)

    def _embed_time(self, timestep: float) -> TimeEmbedding:
        """One timestep for all tokens; a group of 1 broadcasts over sessions and tokens."""
        return self._dit.embed_time(torch.full((1, 1), timestep, device=self._dit.device))


def on(stream: torch.cuda.Stream | None) -> torch.cuda.StreamContext | nullcontext[None]:
    """Enqueue on `stream`; on the CPU do nothing."""
    return nullcontext() if stream is None else torch.cuda.stream(stream)


def _pinned(tensor: Tensor, stream: torch.cuda.Stream | None) -> Tensor:
    """In memory from which the device reads without the host waiting."""
    return tensor if stream is None else tensor.pin_memory()
