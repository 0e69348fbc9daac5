"""Causal convolution in time over a stream, and what it remembers between chunks.

A causal convolution needs the last frames of what it saw before (Wan's feature cache, arXiv:2503.20314). Here each one
owns a buffer of its past frames and one chunk. What comes before it writes new frames straight into the buffer, the
convolution reads the whole, and the last frames move to the front: no concatenation, no padding in time, and addresses
that never change, so that a captured graph stays valid. What a convolution still owes its result (bias, shortcut) is
paid by whoever reads it next, in the same pass over memory: see `Sum`.

Where ranks share the decoder, each has a stripe of every picture. A convolution then reads one row of its neighbours'
stripes, above and below its own: its buffer holds these too, and they are exchanged as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from animacy.engine.errors import EngineError
from animacy.engine.kernels import SAME, Unfold, add_norm_silu
from animacy.engine.ranks import ALONE, Ranks

_NARROW = 64
"""Channels that a tile of a convolution has at least."""


class Sum:
    """A convolution's output to which a bias and a shortcut are yet to be added.

    The first `read` that keeps it makes `values` whole; nothing is added twice.
    """

    def __init__(self, values: Tensor, bias: Tensor | None = None) -> None:
        self.values = values
        self._bias = bias
        self._shortcut: Tensor | None = None
        self._unfold = SAME

    def plus(self, shortcut: Tensor, bias: Tensor | None = None, unfold: Unfold = SAME) -> Sum:
        """This, and a shortcut shaped like it once `unfold` has spread it, and the shortcut's own bias."""
        if self._shortcut is not None:
            self.whole()
        if bias is not None:
            self._bias = bias if self._bias is None else self._bias + bias
        self._shortcut, self._unfold = shortcut, unfold
        return self

    def read(self, out: Tensor | None, norm: Tensor | None = None, keep: bool = True) -> None:
        """Write it to `out`, after channel norm and SiLU if a weight is given; `keep` it if it is read again."""
        add_norm_silu(self.values, self._bias, self._shortcut, self._unfold, norm, out, keep)
        if keep:
            self._bias, self._shortcut, self._unfold = None, None, SAME

    def whole(self) -> Tensor:
        """All of it."""
        if self._bias is not None or self._shortcut is not None:
            self.read(None)
        return self.values


class FeatureCache:
    """The past frames of every causal convolution, of some sessions; weights know nothing of it.

    It has room for `sessions` sessions and chunks of `latent_frames` latent frames. A chunk for fewer sessions belongs
    to the first ones, or to a single one in a view by `session`.
    """

    def __init__(self, latent_frames: int = 1, sessions: int = 1) -> None:
        self._latent_frames = latent_frames
        self._sessions = sessions
        self._buffers: dict[str, Tensor] = {}
        self._past: dict[str, int] = {}
        self._beyond: dict[str, int] = {}

    def window(
        self, key: str, x: Tensor, past: int, frames: int, layout: torch.memory_format, beyond: int = 0
    ) -> Tensor:
        """The buffer of convolution `key` as far as a chunk like `x` needs it: (sessions, channels, past + t, h, w).

        The first call allocates, in memory format `layout`; a latent frame is worth `frames` at this place. There are
        `beyond` more rows above and below those of `x`, zeros at first.
        """
        height, width = x.shape[3] + 2 * beyond, x.shape[4]
        buffer = self._buffers.get(key)
        if buffer is None:
            sessions = max(self._sessions, x.shape[0])
            shape = (sessions, x.shape[1], past + frames * self._latent_frames, height, width)
            buffer = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout).zero_()
            self._buffers[key], self._past[key], self._beyond[key] = buffer, past, beyond
        fits = (buffer.shape[1], *buffer.shape[3:]) == (x.shape[1], height, width)
        if not fits or x.shape[0] > buffer.shape[0] or x.shape[2] > buffer.shape[2] - past:
            raise EngineError(f"chunk {tuple(x.shape)} does not fit the cache {tuple(buffer.shape)} of {key}")
        return buffer[: x.shape[0], :, : past + x.shape[2]]

    def session(self, index: int) -> FeatureCache:
        """A view of one session's past; its convolutions must have run before, so that there are buffers."""
        view = FeatureCache(self._latent_frames)
        view._buffers = {key: buffer[index : index + 1] for key, buffer in self._buffers.items()}
        view._past, view._beyond = self._past, self._beyond
        return view

    def reset(self) -> None:
        """Forget the past without giving back memory: before the first frame there were zeros."""
        for past in self.tensors().values():
            past.zero_()

    def tensors(self) -> dict[str, Tensor]:
        """Views of the past frames of each convolution."""
        return {key: buffer[:, :, : self._past[key]] for key, buffer in self._buffers.items()}

    def gather(self, ranks: Ranks) -> dict[str, Tensor]:
        """Copies of the past frames of each convolution, of whole pictures whatever the stripes."""
        return {key: ranks.all_gather(self._inner(key, past), 3).clone() for key, past in self.tensors().items()}

    def scatter(self, whole: Mapping[str, Tensor], ranks: Ranks) -> None:
        """Go on where `gather` was called, on as many ranks or others."""
        for key, past in self.tensors().items():
            rows, beyond = self._inner(key, past).shape[3], self._beyond[key]
            padded = F.pad(whole[key], (0, 0, beyond, beyond))
            past.copy_(padded.narrow(3, ranks.rank * rows, rows + 2 * beyond))

    def _inner(self, key: str, past: Tensor) -> Tensor:
        """Without the neighbours' rows."""
        beyond = self._beyond[key]
        return past.narrow(3, beyond, past.shape[3] - 2 * beyond)


def memory_format_of(x: Tensor) -> torch.memory_format:
    """channels_last_3d when `x` has it, contiguous otherwise."""
    last = torch.channels_last_3d
    return last if not x.is_contiguous() and x.is_contiguous(memory_format=last) else torch.contiguous_format


class CausalConv3d(nn.Conv3d):
    """A convolution whose outputs see the present and the past only; "same" padding in height and width.

    `frames` is how many frames a latent frame is worth at this place. Inputs are laid out in memory like the weight.
    `key` names the convolution in a `FeatureCache`, and `ranks` share pictures; the network that holds it sets both.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: tuple[int, int, int], frames: int, time_stride: int = 1
    ) -> None:
        padding = (0, kernel[1] // 2, kernel[2] // 2)
        super().__init__(in_channels, out_channels, kernel, (time_stride, 1, 1), padding)
        self.past = kernel[0] - time_stride
        self.frames = frames
        self.key = ""
        self.ranks = ALONE
        self._columns: Tensor | None = None

    def fold(self) -> None:
        """Compute a narrow result by the columns of the kernel, once for weights that do not change any more.

        On a GPU a convolution costs what one to 64 channels does, so that one to a few pays for channels that are not
        there. Here each column of the kernel gets its own: a third of the products, whose results are then added up.
        """
        if self.kernel_size[2] == 3 and 3 * self.out_channels <= _NARROW:
            by_column = torch.cat(self.weight.split(1, dim=4))
            self._columns = by_column.contiguous(memory_format=memory_format_of(self.weight))

    def forward(self, x: Sum, cache: FeatureCache | None, norm: Tensor | None = None, keep: bool = False) -> Sum:
        """Convolve a chunk (batch, channels, t, height, width) and remember its end.

        `norm` is the weight of a channel norm with SiLU to apply first; `keep` says whether `x` is needed afterwards.
        Without a cache the past is zeros.
        """
        window = self._filled(x, cache, norm, keep)
        rows = 0 if self._beyond else self.padding[1]
        if self._columns is None:
            y = F.conv3d(window, self.weight, None, self.stride, (0, rows, self.padding[2]))
        else:
            y = _beside(F.conv3d(window, self._columns, None, self.stride, (0, rows, 0)))
        if cache is not None:
            _keep(window, self.past)
        return Sum(y, self.bias)

    def remember(self, x: Tensor, cache: FeatureCache | None) -> None:
        """Keep the end of a chunk as the past of the next one without convolving it."""
        if cache is not None:
            _keep(self._filled(Sum(x), cache, None, True), self.past)

    @property
    def _beyond(self) -> int:
        """Rows of each neighbour's stripe that it reads."""
        return self.padding[1] if self.ranks.size > 1 else 0

    def _filled(self, x: Sum, cache: FeatureCache | None, norm: Tensor | None, keep: bool) -> Tensor:
        """Past and present, the present after norm and SiLU if asked for."""
        layout, beyond = memory_format_of(self.weight), self._beyond
        cache, frames = (FeatureCache(), x.values.shape[2]) if cache is None else (cache, self.frames)
        window = cache.window(self.key, x.values, self.past, frames, layout, beyond)
        present = window[:, :, self.past :]
        if not beyond:
            x.read(present, norm, keep)
            return window
        mine = present[:, :, :, beyond:-beyond]
        x.read(mine, norm, keep)
        present[:, :, :, :beyond], present[:, :, :, -beyond:] = self.ranks.beyond(mine)
        return window


def _beside(columns: Tensor) -> Tensor:
    """Add up what the left, the middle and the right column of a kernel give: (batch, 3 * channels, t, h, w)."""
    left, middle, right = columns.chunk(3, dim=1)
    y = middle.contiguous(memory_format=memory_format_of(columns))
    y[..., 1:] += left[..., :-1]
    y[..., :-1] += right[..., 1:]
    return y


def _keep(window: Tensor, past: int) -> None:
    """Move the last `past` frames to the front, one by one where they overlap."""
    frames = window.shape[2] - past
    if frames >= past:
        window[:, :, :past].copy_(window[:, :, frames:])
        return
    for frame in range(past):
        window[:, :, frame].copy_(window[:, :, frame + frames])


def name_convolutions(network: nn.Module) -> None:
    """Give every causal convolution its key, the name it has in `network`."""
    for name, module in network.named_modules():
        if isinstance(module, CausalConv3d):
            module.key = name


def each_frame(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a layer for pictures to every frame of (batch, channels, frames, height, width)."""
    y = layer(x.transpose(1, 2).flatten(0, 1))
    return y.unflatten(0, (x.shape[0], -1)).transpose(1, 2)
