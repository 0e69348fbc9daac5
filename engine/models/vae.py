"""The causal video autoencoder, streaming: a chunk at a time, equal to the whole clip at once.

The architecture is Wan's (arXiv:2503.20314, section 4.2; Wan2.2 adds patches and shortcuts). The first frame of a
stream is one latent frame; each later latent frame stands for `temporal_factor` frames.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from animacy.engine.config import VAEConfig
from animacy.engine.models.causal_conv import CausalConv3d, FeatureCache, Sum, name_convolutions
from animacy.engine.models.vae_blocks import (
    ChannelNorm,
    Downsample,
    FoldShortcut,
    FrameAttention,
    MiddleBlock,
    ResidualBlock,
    Upsample,
    unfolding,
)
from animacy.engine.ranks import ALONE, Ranks

_RGB = 3


class EncoderStage(nn.Module):
    """Residual blocks, then a downsampling, all but in the last stage."""

    def __init__(self, config: VAEConfig, index: int, in_channels: int, out_channels: int, frames: int) -> None:
        super().__init__()
        last = index == len(config.dim_mult) - 1
        in_time = not last and config.temporal_downsample[index]
        widths = (in_channels, *(out_channels,) * config.num_res_blocks)
        self.blocks = nn.ModuleList(ResidualBlock(a, b, frames) for a, b in pairwise(widths))
        self.resample = None if last else Downsample(out_channels, frames, in_time)
        factors = (2 if in_time else 1, 1 if last else 2)
        self.around = FoldShortcut(out_channels, *factors) if config.residual else None

    def forward(self, x: Sum, cache: FeatureCache | None, first: bool) -> Sum:
        """Map (batch, in_channels, t, h, w) to (batch, out_channels, ...), smaller by the stage's factors."""
        y = x
        for block in self.blocks:
            y = block(y, cache)
        if self.resample is not None:
            y = self.resample(y, cache, first)
        return y if self.around is None else y.plus(self.around(x.whole()))


class Encoder(nn.Module):
    """From patched pixels to the moments of latents."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.encoder_dim * factor for factor in (1, *config.dim_mult)]
        frames = config.temporal_factor
        self.conv_in = CausalConv3d(_RGB * config.patch_size**2, widths[0], (3, 3, 3), frames)
        self.stages = nn.ModuleList()
        for index, (a, b) in enumerate(pairwise(widths)):
            self.stages.append(EncoderStage(config, index, a, b, frames))
            if index < len(config.temporal_downsample) and config.temporal_downsample[index]:
                frames //= 2
        self.mid = MiddleBlock(widths[-1], frames)
        self.norm_out = ChannelNorm(widths[-1], 3)
        self.conv_out = CausalConv3d(widths[-1], 2 * config.z_dim, (3, 3, 3), frames)
        name_convolutions(self)

    def forward(self, x: Tensor, cache: FeatureCache | None, first: bool) -> Tensor:
        """Map (batch, channels, 1 or temporal_factor, h, w) to (batch, 2 * z_dim, 1, h / 8, w / 8)."""
        y = self.conv_in(Sum(x), cache)
        for stage in self.stages:
            y = stage(y, cache, first)
        return self.conv_out(self.mid(y, cache), cache, norm=self.norm_out.gamma).whole()


class DecoderStage(nn.Module):
    """Residual blocks, then an upsampling, all but in the last stage."""

    def __init__(self, config: VAEConfig, index: int, in_channels: int, out_channels: int, frames: int) -> None:
        super().__init__()
        last = index == len(config.dim_mult) - 1
        in_time = not last and config.temporal_downsample[-1 - index]
        widths = (in_channels, *(out_channels,) * (config.num_res_blocks + 1))
        self.blocks = nn.ModuleList(ResidualBlock(a, b, frames) for a, b in pairwise(widths))
        # Wan2.1 halves the channels when it upsamples, Wan2.2 in the next stage's first block.
        narrowed = out_channels if config.residual else out_channels // 2
        self.resample = None if last else Upsample(out_channels, narrowed, frames, in_time)
        self.around = (in_channels, out_channels, 2 if in_time else 1, 2) if config.residual and not last else None

    def forward(self, x: Sum, cache: FeatureCache | None, first: bool) -> Sum:
        """Map (batch, in_channels, t, h, w) to (batch, channels, ...), larger by the stage's factors."""
        y = x
        for block in self.blocks:
            y = block(y, cache)
        if self.resample is not None:
            y = self.resample(y, cache, first)
        return y if self.around is None else y.plus(x.whole(), unfold=unfolding(*self.around, first))


class Decoder(nn.Module):
    """From latents to patched pixels."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        mults = config.dim_mult[::-1]
        widths = [config.decoder_dim * factor for factor in (mults[0], *mults)]
        frames = 1
        self.conv_in = CausalConv3d(config.z_dim, widths[0], (3, 3, 3), frames)
        self.mid = MiddleBlock(widths[0], frames)
        self.stages = nn.ModuleList()
        for index, (a, b) in enumerate(pairwise(widths)):
            narrowed = a if config.residual or index == 0 else a // 2
            self.stages.append(DecoderStage(config, index, narrowed, b, frames))
            if index < len(config.temporal_downsample) and config.temporal_downsample[-1 - index]:
                frames *= 2
        self.norm_out = ChannelNorm(widths[-1], 3)
        self.conv_out = CausalConv3d(widths[-1], _RGB * config.patch_size**2, (3, 3, 3), frames)
        name_convolutions(self)

    def forward(self, x: Tensor, cache: FeatureCache | None, first: bool) -> Tensor:
        """Map (batch, z_dim, 1, h, w) to (batch, channels, 1 or temporal_factor, 8 * h, 8 * w)."""
        y = self.mid(self.conv_in(Sum(x), cache), cache)
        for stage in self.stages:
            y = stage(y, cache, first)
        return self.conv_out(y, cache, norm=self.norm_out.gamma).whole()


class VideoVAE(nn.Module):
    """Encoder and decoder, between pixels in [-1, 1] and latents normalised as the transformer sees them."""

    latents_mean: Tensor
    latents_std: Tensor

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv3d(2 * config.z_dim, 2 * config.z_dim, 1)
        self.post_quant_conv = nn.Conv3d(config.z_dim, config.z_dim, 1)
        self.decoder = Decoder(config)
        for name, values in (("latents_mean", config.latents_mean), ("latents_std", config.latents_std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1, 1), persistent=False)
        self._format = torch.contiguous_format
        self.ranks = ALONE

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.post_quant_conv.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the convolutions run in."""
        return self.post_quant_conv.weight.dtype

    def cast(self, dtype: torch.dtype) -> Self:
        """Run in `dtype`; the scale of latents stays in float32."""
        for parameter in self.parameters():
            parameter.data = parameter.data.to(dtype)
        return self

    def optimize(self) -> Self:
        """Make ready for inference on a GPU, once the weights are loaded.

        Weights and activations are laid out channels-last, in which cuDNN's convolutions come near the matmul ceiling,
        upsampling kernels are folded, and narrow ones spread out.
        """
        self._format = torch.channels_last_3d
        for parameter in self.parameters():
            if parameter.dim() == 5:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
            elif parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        for module in self.modules():
            if isinstance(module, Upsample | CausalConv3d):
                module.fold()
        return self

    def share(self, ranks: Ranks) -> Self:
        """Let ranks decode together, each a horizontal stripe of every picture; each has all weights.

        What is decoded is the same: convolutions read their neighbours' nearest rows, and attention all keys and
        values. Only with a cache, and with rows of latents that divide; every rank decodes the same at the same time.
        """
        self.ranks = ranks
        for module in self.decoder.modules():
            if isinstance(module, CausalConv3d | Upsample | FrameAttention):
                module.ranks = ranks
        return self

    def encode(self, frames: Tensor, cache: FeatureCache | None, first: bool) -> Tensor:
        """Encode one chunk to the mean of its latents.

        Args:
            frames: (batch, 3, t, height, width) in [-1, 1]; t is 1 at `first`, then `temporal_factor`.
            cache: of this stream's encoder; None only for a first frame that nothing follows.
            first: whether the stream begins here.

        Returns:
            (batch, z_dim, 1, height / spatial_factor, width / spatial_factor), float32.
        """
        x = patchify(frames.to(self.dtype), self.config.patch_size).contiguous(memory_format=self._format)
        mean = self.quant_conv(self.encoder(x, cache, first)).chunk(2, dim=1)[0]
        return (mean.float() - self.latents_mean) / self.latents_std

    def decode(self, latents: Tensor, cache: FeatureCache | None, first: bool) -> Tensor:
        """Decode one chunk.

        Args:
            latents: (batch, z_dim, n, height, width), normalised; n is 1 at `first`, then what `cache` has room for.
            cache: of this stream's decoder; None only for a first frame that nothing follows.
            first: whether the stream begins here.

        Returns:
            (batch, 3, 1 at `first`, else n * `temporal_factor`, pixels high, pixels wide) in [-1, 1]; of ranks that
            `share` it, each its stripe.
        """
        mine = self.ranks.part(latents.float(), 3)
        raw = (mine * self.latents_std + self.latents_mean).to(self.dtype)
        x = self.post_quant_conv(raw.contiguous(memory_format=self._format))
        return unpatchify(self.decoder(x, cache, first), self.config.patch_size).clamp(-1, 1)

    def encode_clip(self, frames: Tensor) -> Tensor:
        """Encode a whole clip (batch, 3, 1 + n * temporal_factor, height, width) to 1 + n latent frames."""
        cache, step = FeatureCache(), self.config.temporal_factor
        chunks = [frames[:, :, :1], *frames[:, :, 1:].split(step, dim=2)]
        return torch.cat([self.encode(chunk, cache, first=not i) for i, chunk in enumerate(chunks)], dim=2)

    def decode_clip(self, latents: Tensor) -> Tensor:
        """Decode 1 + n latent frames to a whole clip of 1 + n * temporal_factor frames."""
        cache, chunks = FeatureCache(), latents.split(1, dim=2)
        return torch.cat([self.decode(chunk, cache, first=not i) for i, chunk in enumerate(chunks)], dim=2)


def patchify(frames: Tensor, size: int) -> Tensor:
    """Fold squares of size x size pixels into channels, columns before rows as Wan does."""
    cut = frames.unflatten(4, (-1, size)).unflatten(3, (-1, size))
    return cut.permute(0, 1, 6, 4, 2, 3, 5).flatten(1, 3)


def unpatchify(patches: Tensor, size: int) -> Tensor:
    """Undo `patchify`."""
    cells = patches.unflatten(1, (-1, size, size))
    return cells.permute(0, 1, 4, 5, 3, 6, 2).flatten(5, 6).flatten(3, 4)
