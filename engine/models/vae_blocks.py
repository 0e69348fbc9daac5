"""Building blocks of the video autoencoder (Wan 2.1 and 2.2): residual blocks, attention in a frame, resampling.

Everywhere `first` says that this is the first chunk of a stream: one frame, which stands for itself and not for a group
of frames, so that neither direction resamples it in time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from animacy.engine.kernels.add_norm_silu import Unfold, channel_norm
from animacy.engine.models.causal_conv import CausalConv3d, FeatureCache, Sum, each_frame, memory_format_of
from animacy.engine.ranks import ALONE


class ChannelNorm(nn.Module):
    """Holds the weight of a norm over channels; the convolution that follows applies it (see `add_norm_silu`)."""

    def __init__(self, channels: int, trailing: int) -> None:
        super().__init__()
        # Checkpoints keep it in a shape that broadcasts over pictures (2 trailing axes) or videos (3).
        self.gamma = nn.Parameter(torch.ones(channels, *(1,) * trailing))


class ResidualBlock(nn.Module):
    """Twice norm, SiLU and causal convolution, with a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, frames: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(in_channels, 3)
        self.conv1 = CausalConv3d(in_channels, out_channels, (3, 3, 3), frames)
        self.norm2 = ChannelNorm(out_channels, 3)
        self.conv2 = CausalConv3d(out_channels, out_channels, (3, 3, 3), frames)
        same = in_channels == out_channels
        self.shortcut = None if same else nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, x: Sum, cache: FeatureCache | None) -> Sum:
        """Map (batch, in_channels, t, h, w) to (batch, out_channels, t, h, w)."""
        y = self.conv1(x, cache, norm=self.norm1.gamma, keep=True)
        y = self.conv2(y, cache, norm=self.norm2.gamma)
        if self.shortcut is None:
            return y.plus(x.whole())
        return y.plus(F.conv3d(x.whole(), self.shortcut.weight), self.shortcut.bias)


class FrameAttention(nn.Module):
    """Self attention with one head among the positions of each frame.

    Where `ranks` share pictures, each asks for its stripe, and all see all keys and values.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, 2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.ranks = ALONE

    def forward(self, x: Sum) -> Sum:
        """Map (batch, channels, t, h, w) to the same shape."""
        whole = x.whole()
        return Sum(each_frame(self._attend, whole)).plus(whole)

    def _attend(self, frames: Tensor) -> Tensor:
        """Attention over (n, channels, h, w), the pointwise convolutions as matrix products over channels."""
        positions = frames.permute(0, 2, 3, 1).flatten(1, 2)
        normed = channel_norm(positions.float(), self.norm.gamma.float().flatten(), dim=-1).type_as(frames)
        qkv = F.linear(normed, self.to_qkv.weight.flatten(1), self.to_qkv.bias)
        q, kv = qkv.unsqueeze(1).split((frames.shape[1], 2 * frames.shape[1]), dim=-1)
        k, v = self.ranks.all_gather(kv, 2).chunk(2, dim=-1)
        mixed = F.scaled_dot_product_attention(q, k, v).squeeze(1)
        out = F.linear(mixed, self.proj.weight.flatten(1), self.proj.bias)
        return out.unflatten(1, frames.shape[2:]).permute(0, 3, 1, 2)


class MiddleBlock(nn.Module):
    """Where the picture is smallest: residual, attention, residual."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(channels, channels, frames)
        self.attn = FrameAttention(channels)
        self.block2 = ResidualBlock(channels, channels, frames)

    def forward(self, x: Sum, cache: FeatureCache | None) -> Sum:
        """Map (batch, channels, t, h, w) to the same shape."""
        return self.block2(self.attn(self.block1(x, cache)), cache)


class Downsample(nn.Module):
    """Halves height and width and, with `in_time`, the number of frames; `frames` come in."""

    def __init__(self, channels: int, frames: int, in_time: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)
        self.time_conv = CausalConv3d(channels, channels, (3, 1, 1), frames, time_stride=2) if in_time else None

    def forward(self, x: Sum, cache: FeatureCache | None, first: bool) -> Sum:
        """Map (batch, channels, t, h, w) to (batch, channels, t or t / 2, h / 2, w / 2)."""
        y = Sum(each_frame(lambda picture: self.conv(F.pad(picture, (0, 1, 0, 1))), x.whole()))
        if self.time_conv is None:
            return y
        if first:
            self.time_conv.remember(y.values, cache)
            return y
        return self.time_conv(y, cache)


class Upsample(nn.Module):
    """Doubles height and width and, with `in_time`, the number of frames; `frames` come in.

    Nearest neighbours and a 3 x 3 convolution: together they are one transposed convolution of stride 2, whose 4 x 4
    kernel does 4 products an output pixel instead of 9 and reads the small picture instead of the large one. Where
    `ranks` share pictures, it reads a row of each neighbour's stripe.
    """

    def __init__(self, in_channels: int, out_channels: int, frames: int, in_time: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_conv = CausalConv3d(in_channels, 2 * in_channels, (3, 1, 1), frames) if in_time else None
        self._folded: Tensor | None = None
        self.ranks = ALONE

    def fold(self) -> None:
        """Compute the transposed kernel once, for weights that do not change any more."""
        self._folded = _transposed(self.conv.weight)

    def forward(self, x: Sum, cache: FeatureCache | None, first: bool) -> Sum:
        """Map (batch, in_channels, t, h, w) to (batch, out_channels, t or 2 * t, 2 * h, 2 * w).

        The first frame does not enter the convolution's memory: later ones see zeros in its place, as Wan was trained.
        """
        y = x.whole() if self.time_conv is None or first else _interleave(self.time_conv(x, cache).whole())
        kernel = _transposed(self.conv.weight) if self._folded is None else self._folded
        rows = 1
        if self.ranks.size > 1:
            above, below = self.ranks.beyond(y)
            y = torch.cat((above, y, below), dim=3).contiguous(memory_format=memory_format_of(y))
            rows = 3  # of the result, which has two more for each row that came
        large = each_frame(lambda frames: F.conv_transpose2d(frames, kernel, stride=2, padding=(rows, 1)), y)
        return Sum(large, self.conv.bias)


def _transposed(weight: Tensor) -> Tensor:
    """The kernel (in, out, 4, 4) of a transposed convolution that doubles by nearest neighbours and then convolves.

    Each output pixel sees its neighbours through the 3 x 3 kernel `weight` (out, in, 3, 3); those that are copies of
    the same input pixel are added up. A transposed kernel is read backwards.
    """
    last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    wide = F.pad(weight.float().flip(2, 3), (1, 1, 1, 1))
    summed = wide[..., 1:, 1:] + wide[..., 1:, :-1] + wide[..., :-1, 1:] + wide[..., :-1, :-1]
    return summed.transpose(0, 1).to(weight.dtype).contiguous(memory_format=layout)


def _interleave(x: Tensor) -> Tensor:
    """Make two frames of each one: the first half of its channels, then the second; keeps the memory format."""
    batch, channels, frames, height, width = x.shape
    shape = (batch, channels // 2, 2 * frames, height, width)
    out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format_of(x))
    for half, values in enumerate(x.chunk(2, dim=1)):
        out[:, :, half::2] = values
    return out


class FoldShortcut(nn.Module):
    """Wan2.2's way past an encoder stage: fold space and time into channels, then average groups of them."""

    def __init__(self, out_channels: int, time_factor: int, space_factor: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.time_factor = time_factor
        self.space_factor = space_factor

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, t, h, w) to (batch, out_channels, t / time, h / space, w / space)."""
        x = F.pad(x, (0, 0, 0, 0, -x.shape[2] % self.time_factor, 0))
        x = x.unflatten(4, (-1, self.space_factor)).unflatten(3, (-1, self.space_factor))
        x = x.unflatten(2, (-1, self.time_factor)).permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)
        return x.unflatten(1, (self.out_channels, -1)).mean(2)


def unfolding(in_channels: int, out_channels: int, time_factor: int, space_factor: int, first: bool) -> Unfold:
    """Wan2.2's way past a decoder stage: repeat channels, then unfold them into space and time.

    Of the first frame's copies in time only the last is kept.
    """
    repeats = out_channels * time_factor * space_factor**2 // in_channels
    return Unfold(time_factor, space_factor, repeats, time_factor - 1 if first else 0)
