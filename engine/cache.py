"""Keys and values of what was generated: a few first frames for ever, a rolling window, and a coarse memory beyond.

The first frames anchor the picture (attention sinks, arXiv:2309.17453; LongLive, arXiv:2509.22622). The window is a
ring of fixed slots: a new chunk overwrites the oldest, nothing moves, and memory is constant for any length. Attention
does not mind the order of keys, only their rotary positions, and of those only differences matter:

- a frame in the ring keeps the position at which it was written, so its distance to the present grows as it should;
- the sink is turned forward each time a frame is forgotten, so it stays right behind the oldest that is remembered;
- before positions reach the end of the rotary tables, all but the sink is turned back, at most once in the life of a
  key, so that rounding does not add up.

What leaves the ring may stay as averages over neighbouring tokens, as FramePack keeps older frames at a coarser
resolution (arXiv:2504.12626) and LiveAct's ConvKV compresses a cache. Rotated keys are averaged as they are: tokens of
a frame share its turn in time, and where neighbours in space are turned apart they blur. The averages are a second ring
behind the first. A frame goes there once the chunk before the one that overwrites it is committed, so that nobody sees
it twice or misses it, and a chunk that is given up leaves no trace. Averaging needs no weights; a model trained for it
does better.

Counts are plain integers, one `RollingWindow` a session; they go to the device as four numbers an iteration, from which
everything else is computed there. Nothing is read back, and no address ever changes, so that an iteration can be
captured as a CUDA graph once and replayed for ever.
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from itertools import product
from math import prod

import torch
from torch import Tensor

from animacy.engine.config import DiTConfig, StreamConfig, check_positions
from animacy.engine.errors import EngineError
from animacy.engine.kernels import rotate_keys, store_fp8, store_rows
from animacy.engine.kernels.fp8 import FP8
from animacy.engine.models.rope import RotaryEmbedding

_ALIGNED = 16
"""Rows of values in FP8 come in multiples of this, or Hopper's copy engine does not take them (see `attend_fp8`)."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the next frames go, counted in latent frames.

    They take the slots from `slot` on and the rotary positions from `position` on; attention covers the first `seen`
    slots, those of the memory following those of the window; the sink is turned by `sink_shift` from where it was
    written.
    """

    slot: int
    seen: int
    position: int
    sink_shift: int

    def numbers(self) -> tuple[int, int, int, int]:
        """As a row of the tensor that `KVCache.window` reads."""
        return astuple(self)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Frames in the ring's slots from `slot` on that the next chunk overwrites.

    They go to the memory's slots from `remembered` on, its first being 0.
    """

    slot: int
    frames: int
    remembered: int


@dataclass(slots=True)
class RollingWindow:
    """Counts frames and says where they go; holds no tensor.

    `memory` frames beyond the window are remembered; it and `window` are multiples of a chunk.
    """

    sink: int
    window: int
    max_position: int
    memory: int = 0
    frame: int = 0
    base: int = 0

    def __post_init__(self) -> None:
        check_positions(self.sink, self.window, self.memory, self.max_position)

    def place(self, frames: int) -> Placement:
        """Where the next `frames` go; does not count them yet, so a chunk may be given up and placed again."""
        end = self.frame + frames
        slots = self.sink + self.window + self.memory
        in_sink = self.frame < self.sink
        slot = self.frame if in_sink else self.sink + (self.frame - self.sink) % self.window
        return Placement(
            slot=slot,
            seen=min(end, slots),
            position=self.frame - self.base,
            sink_shift=max(0, end - slots) - self.base,
        )

    def leaving(self, frames: int) -> Leaving | None:
        """What the next `frames` overwrite and is to be remembered; None where nothing is."""
        oldest = self.frame - self.window
        if not self.memory or oldest < self.sink:
            return None
        return Leaving(self.place(frames).slot, frames, (oldest - self.sink) % self.memory)

    def advance(self, frames: int) -> int:
        """Count `frames` as done.

        Returns how many positions window and memory have to be turned back by now; 0 nearly always.
        """
        self.frame += frames
        if self.frame - self.base + self.window <= self.max_position:
            return 0
        turn = self.frame - self.base - self.memory - self.window - self.sink
        self.base += turn
        return turn

    def reset(self) -> None:
        """Back to before the first frame."""
        self.frame = self.base = 0

    def state_dict(self) -> dict[str, int]:
        """What `load_state_dict` takes."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take over the count of another window of the same size."""
        if any(state[name] != getattr(self, name) for name in ("sink", "window", "memory")):
            raise EngineError(
                "the state was made with another sink, window or memory", "use the configuration it was made with"
            )
        self.frame, self.base = state["frame"], state["base"]


class KVCache:
    """Keys and values of all layers and sessions, in fixed slots: (layers, sessions, rows, heads, head_dim).

    A session's rows are those of the sink, of the window and of the memory; a slot of the first two has a row for each
    token of a frame, one of the memory `pooled` rows.

    Args:
        dit: of the transformer.
        stream: sink, window, memory and chunk, and whether to keep keys and values in FP8.
        rope: of the transformer.
        sessions: how many videos there is room for.
        grid: rows and columns of tokens in a latent frame.
        dtype: in which the transformer computes.
        device: where.
        ranks: how many share the heads; the cache is for one of them.

    Keys are kept rotated. An iteration works with a `window` of the first sessions; a session's first frame goes in by
    `first`.
    """

    def __init__(
        self,
        dit: DiTConfig,
        stream: StreamConfig,
        rope: RotaryEmbedding,
        sessions: int,
        grid: tuple[int, int],
        dtype: torch.dtype,
        device: torch.device,
        ranks: int = 1,
    ) -> None:
        self._rope = rope
        self._grid, self._pool = grid, stream.pool
        self._shares = _shares(grid, stream.pool).to(device)
        self.tokens, self.pooled = prod(grid), self._shares.numel()
        self._whole = stream.sink + stream.window
        self.slots = self._whole + stream.memory
        self.sink = stream.sink * self.tokens
        self.chunk = stream.chunk
        rows = self._whole * self.tokens + stream.memory * self.pooled
        held = -(-rows // _ALIGNED) * _ALIGNED if stream.fp8_cache else rows
        shape = (dit.num_layers, sessions, held, dit.num_heads // ranks, dit.head_dim)
        self.keys = torch.zeros(shape, dtype=FP8 if stream.fp8_cache else dtype, device=device)
        self.values = _channel_by_channel(self.keys) if stream.fp8_cache else torch.zeros_like(self.keys)
        self.sink_keys = self.keys[:, :, : self.sink].clone()
        self._offsets = torch.arange(rows, device=device)

    def first(self, session: int) -> CachedFrames:
        """For the first frame of a session, which sees nothing but itself."""
        rows = session * self.keys.shape[2] + self._offsets[: self.tokens]
        return CachedFrames(self, rows, slice(session, session + 1), self.tokens)

    def window(self, placements: Tensor) -> CachedFrames:
        """For the next chunk of the first sessions; turns their sinks to where they belong now.

        Args:
            placements: (sessions, 4), int64, on the device: `Placement.numbers` of each.
        """
        slot, _, _, shift = placements.unbind(1)
        count = len(placements)
        if self.sink:
            turn = self._rope.shifts(shift)
            rotate_keys(self.sink_keys[:, :count], turn.cos, turn.sin, self.keys[:, :count, : self.sink])
        starts = torch.arange(count, device=slot.device) * self.keys.shape[2] + slot * self.tokens
        rows = (starts.unsqueeze(1) + self._offsets[: self.chunk * self.tokens]).flatten()
        return CachedFrames(self, rows, slice(0, count), len(self._offsets))

    def seen(self, placements: Tensor) -> Tensor:
        """Which rows the sessions may look at while not all slots are filled: (sessions, 1, 1, rows), bool."""
        slots = placements[:, 1:2]
        whole = slots.clamp(max=self._whole)
        return (self._offsets < whole * self.tokens + (slots - whole) * self.pooled)[:, None, None]

    def keep_sink(self, session: int, placement: Placement, frames: int) -> None:
        """Remember a session's frames just written as its sink, if that is what they are, before any turn."""
        start, end = placement.slot * self.tokens, (placement.slot + frames) * self.tokens
        if start < self.sink:
            self.sink_keys[:, session, start:end] = self.keys[:, session, start:end]

    def pool(self, session: int, leaving: Leaving) -> None:
        """Remember a session's frames that the next chunk overwrites, see `RollingWindow.leaving`."""
        start, end = leaving.slot * self.tokens, (leaving.slot + leaving.frames) * self.tokens
        memory = self._whole * self.tokens + leaving.remembered * self.pooled
        for cached in (self.keys[:, session], self.values[:, session]):
            averages = self._averages(cached[:, start:end].unflatten(1, (leaving.frames, *self._grid)))
            cached[:, memory : memory + leaving.frames * self.pooled] = averages.flatten(1, 3)

    def _averages(self, frames: Tensor) -> Tensor:
        """(layers, frames, rows, columns, heads, head_dim) averaged over `pool` rows and columns, in float32.

        Blocks at the edge may be smaller. What is added at a time is a fraction of the frames, so that all layers at
        once take little.
        """
        rows, columns = self._pool
        sums = frames.new_zeros((*frames.shape[:2], *self._shares.shape[:2], *frames.shape[4:]), dtype=torch.float32)
        for row, column in product(range(rows), range(columns)):
            part = frames[:, :, row::rows, column::columns].float()
            sums[:, :, : part.shape[2], : part.shape[3]] += part
        return sums.mul_(self._shares)

    def turn_back(self, session: int, frames: int) -> None:
        """Turn the keys of a session's window and memory back, see `RollingWindow.advance`."""
        turn = self._rope.shifts(torch.tensor([-frames], device=self.keys.device))
        rings = self.keys[:, session : session + 1, self.sink :]
        rotate_keys(rings, turn.cos, turn.sin, rings)

    def tensors(self, session: int) -> dict[str, Tensor]:
        """Views of all that is held of a session."""
        return {name: getattr(self, name)[:, session] for name in ("keys", "values", "sink_keys")}


class CachedFrames:
    """The transformer's memory during one forward or several over the same frames: writes them, and shows the past.

    The frames are written again at every denoising step: the last one stays.
    """

    def __init__(self, cache: KVCache, rows: Tensor, sessions: slice, seen: int) -> None:
        self._cache = cache
        self._rows = rows
        self._sessions = sessions
        self._seen = seen

    def update(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Store keys and values of the present frames; see `animacy.engine.models.attention.Memory`."""
        all_keys, all_values = self._cache.keys[layer], self._cache.values[layer]
        keys, values = keys.flatten(2), values.flatten(2)
        if all_keys.dtype == FP8:
            channels = all_values.permute(0, 2, 3, 1).flatten(1, 2)
            rounded = store_fp8(queries.flatten(2), keys, values, all_keys.flatten(2), channels, self._rows)
            queries = rounded.view_as(queries)
        else:
            key_rows, value_rows = (one.flatten(0, 1).flatten(1) for one in (all_keys, all_values))
            store_rows(keys, values, key_rows, value_rows, self._rows)
        return queries, all_keys[self._sessions, : self._seen], all_values[self._sessions, : self._seen]


def _channel_by_channel(keys: Tensor) -> Tensor:
    """Zeros with the shape of `keys`, laid out so that a channel's tokens are side by side (see `attend_fp8`)."""
    return torch.zeros_like(keys.movedim(2, 4), memory_format=torch.contiguous_format).movedim(4, 2)


def _shares(grid: tuple[int, int], pool: tuple[int, int]) -> Tensor:
    """What each token counts for in the average over its block: (rows of blocks, columns of blocks, 1, 1), float32."""
    rows, columns = (
        torch.tensor([1 / min(step, side - first) for first in range(0, side, step)])
        for side, step in zip(grid, pool, strict=True)
    )
    return torch.outer(rows, columns)[..., None, None]
