"""From latents to pictures on the host, beside the transformer: on a stream of its own, or on a device of its own."""

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
    """

    def __init__(self, preset: Preset, vae: VideoVAE, height: int, width: int, capacity: int, clock: Clock) -> None:
        self._vae, self._clock = vae.optimize(), clock
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
            features = self._features.session(session)
            features.reset()
            frame = to_uint8(self._vae.decode(latent, features, first=True))[0, 0]
            return latent, frame.cpu()

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
        kept = {session: self.state(session) for session in given_up}
        self._decode(sessions)
        for session, state in kept.items():
            self.set_state(session, state)
        with on(self.stream):
            frames = self._to_host(self._frames[:sessions])
            return Decoding(frames, begin, self._clock.mark(self.stream)), read

    @torch.inference_mode()
    def move(self, session: int, place: int) -> None:
        """Let a session be where another was."""
        self.set_state(place, self._tensors(session))

    @torch.inference_mode()
    def state(self, session: int) -> dict[str, Tensor]:
        """All that the next pictures of a session depend on beside its latents, copied."""
        with on(self.stream):
            return {name: past.clone() for name, past in self._tensors(session).items()}

    @torch.inference_mode()
    def set_state(self, session: int, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was called."""
        with on(self.stream):
            for name, past in self._tensors(session).items():
                past.copy_(state[name])

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
        pieces = self._latents[:sessions].split(1, dim=2)
        step = self._vae.config.temporal_factor
        for index, piece in enumerate(pieces):
            frames = self._vae.decode(piece, self._features, first=False)
            self._frames[:sessions, index * step : (index + 1) * step].copy_(to_uint8(frames))


def to_uint8(frames: Tensor) -> Tensor:
    """(batch, 3, t, height, width) in [-1, 1] to (batch, t, height, width, 3) of 0 to 255."""
    return ((frames.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 4, 1)
