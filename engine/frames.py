"""From latents to pictures on the host, beside the transformer: on a stream of its own, or on a device of its own.

Where several ranks share the decoder, each has one of these and a stripe of every picture. What is done to one is done
to all (`animacy.engine.team`); the first one has the latents and gets the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import torch
from torch import Tensor

from animacy.engine.clock import Clock, Mark
from animacy.engine.config import Preset
from animacy.engine.denoiser import on
from animacy.engine.graphs import Replayed
from animacy.engine.models import VideoVAE
from animacy.engine.models.causal_conv import FeatureCache
from animacy.engine.team import NOBODY, Team, led

_HOST_BUFFERS = 3
"""One that is being filled, one that is waited for, one that is being read."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Pictures that are being made: `frames` (sessions, n, height, width, 3), uint8, valid once `end` has passed.

    They are overwritten when two more chunks have been decoded after them.
    """

    frames: Tensor
    begin: Mark
    end: Mark


class FrameDecoder:
    """Decodes the latents of up to `capacity` sessions, the first of them together.

    Args:
        preset: of `vae`.
        vae: the autoencoder, on the device that decodes.
        height: of the picture in pixels.
        width: of the picture in pixels.
        capacity: how many sessions there is room for.
        clock: tells when things happened.
        team: those who share the decoder and follow this one.
    """

    def __init__(
        self,
        preset: Preset,
        vae: VideoVAE,
        height: int,
        width: int,
        capacity: int,
        clock: Clock,
        team: Team = NOBODY,
    ) -> None:
        self._vae, self._clock, self.team = vae.optimize(), clock, team
        device, chunk = vae.device, preset.stream.chunk
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._latents = torch.zeros(
            capacity, preset.vae.z_dim, chunk, *preset.latent_size(height, width), device=device
        )
        frames = (chunk * preset.vae.temporal_factor, height, width, 3)
        self._frames = torch.zeros(capacity, *frames, dtype=torch.uint8, device=device)
        pinned = self.stream is not None
        buffers = _HOST_BUFFERS if pinned else 0
        self._host = [torch.zeros(capacity, *frames, dtype=torch.uint8, pin_memory=pinned) for _ in range(buffers)]
        self._turn = 0
        self._features = FeatureCache(1, capacity)
        self._decode = Replayed(self._work, self.stream)
        self._make_buffers()

    @torch.inference_mode()
    def _make_buffers(self) -> None:
        """Decode nothing once, so that every convolution has its past, which never moves afterwards."""
        with on(self.stream):
            for first in (True, False):
                self._vae.decode(self._latents[:, :, :1], self._features, first)
        self._features.reset()

    def close(self) -> None:
        """Let go of the graphs; nothing can be replayed any more."""
        self._decode.close()

    @led
    @torch.inference_mode()
    def capture(self, sessions: int) -> None:
        """Make the decoding of so many sessions replayable; spoils what is remembered of them."""
        self._decode.capture(sessions)

    @torch.inference_mode()
    def begin(self, session: int, image: Tensor) -> tuple[Tensor, Tensor]:
        """Start a session from its picture.

        Args:
            session: its place.
            image: (height, width, 3), uint8.

        Returns:
            (latent (1, channels, 1, h, w), the picture as the autoencoder gives it back (height, width, 3) on the CPU).
        """
        with on(self.stream):
            pixels = image.to(self._vae.device).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
            latent = self._vae.encode(pixels, None, first=True)
            return latent, self.decode_first(session, latent)

    @led
    @torch.inference_mode()
    def decode_first(self, session: int, latent: Tensor) -> Tensor:
        """Start a session from its first latent frame, (1, channels, 1, h, w); see `begin`."""
        with on(self.stream):
            features = self._features.session(session)
            features.reset()
            stripe = self._vae.decode(latent.to(self._vae.device), features, first=True)
            return self._pictures(stripe)[0, 0].cpu()

    @torch.inference_mode()
    def decode(self, latents: Tensor, after: Mark, given_up: Set[int] = frozenset()) -> tuple[Decoding, Mark]:
        """Enqueue the decoding of a chunk of the first sessions.

        Args:
            latents: (sessions, channels, chunk, h, w), on any device.
            after: when they are ready.
            given_up: the sessions among them whose chunk shall leave no trace in later ones.

        Returns:
            (the pictures to come, when `latents` have been read and may be overwritten).
        """
        sessions = len(latents)
        after.hold(self.stream)
        with on(self.stream):
            self._latents[:sessions].copy_(latents, non_blocking=True)
            read = begin = self._clock.mark(self.stream)
        self.decode_latents(sessions, frozenset(given_up))
        with on(self.stream):
            frames = self._to_host(self._frames[:sessions])
            return Decoding(frames, begin, self._clock.mark(self.stream)), read

    @led
    @torch.inference_mode()
    def decode_latents(self, sessions: int, given_up: Set[int]) -> None:
        """Decode what `decode` was given; see there."""
        with on(self.stream):
            kept = {session: _clones(self._tensors(session)) for session in given_up}
        self._decode(sessions)
        with on(self.stream):
            for session, tensors in kept.items():
                _copy(tensors, self._tensors(session))

    @led
    @torch.inference_mode()
    def move(self, session: int, place: int) -> None:
        """Let a session be where another was."""
        with on(self.stream):
            _copy(self._tensors(session), self._tensors(place))

    @led
    @torch.inference_mode()
    def state(self, session: int) -> dict[str, Tensor]:
        """All that the next pictures of a session depend on beside its latents, of all ranks together, copied."""
        with on(self.stream):
            return self._features.session(session).gather(self._vae.ranks)

    @led
    @torch.inference_mode()
    def set_state(self, session: int, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was called."""
        with on(self.stream):
            self._features.session(session).scatter(state, self._vae.ranks)

    def _tensors(self, session: int) -> dict[str, Tensor]:
        return {name: past[session] for name, past in self._features.tensors().items()}

    def _to_host(self, frames: Tensor) -> Tensor:
        if self.stream is None:
            return frames.clone()
        self._turn = (self._turn + 1) % _HOST_BUFFERS
        host = self._host[self._turn][: len(frames)]
        return host.copy_(frames, non_blocking=True)

    def _work(self, sessions: int) -> None:
        """All of a decoding on the device, a latent frame at a time."""
        self._vae.ranks.broadcast(self._latents[:sessions])
        pieces = self._latents[:sessions].split(1, dim=2)
        step = self._vae.config.temporal_factor
        for index, piece in enumerate(pieces):
            stripe = self._vae.decode(piece, self._features, first=False)
            self._frames[:sessions, index * step : (index + 1) * step].copy_(self._pictures(stripe))

    def _pictures(self, stripe: Tensor) -> Tensor:
        """What the ranks have decoded together, see `to_uint8`."""
        return self._vae.ranks.all_gather(to_uint8(stripe), 2)


def _clones(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _copy(sources: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
    for name, target in targets.items():
        target.copy_(sources[name])


def to_uint8(frames: Tensor) -> Tensor:
    """(batch, 3, t, height, width) in [-1, 1] to (batch, t, height, width, 3) of 0 to 255."""
    return ((frames.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 4, 1)
