"""Keys and values of what was generated: a few first frames for ever, and a rolling window of the latest.

The first frames anchor the picture (attention sinks, arXiv:2309.17453; LongLive, arXiv:2509.22622). The window is a
ring of fixed slots: a new chunk overwrites the oldest, nothing moves, and memory is constant for any length. Attention
does not mind the order of keys, only their rotary positions, and of those only differences matter:

- a frame in the ring keeps the position at which it was written, so its distance to the present grows as it should;
- the sink is turned forward each time the ring drops a frame, so it stays right behind the oldest frame of the window;
- before positions reach the end of the rotary tables, the whole ring is turned back. A key lives for one round of the
  ring, so it is turned back at most once and rounding does not add up.

Counts are plain integers, one `RollingWindow` a session; they go to the device as four numbers an iteration, from which
everything else is computed there. Nothing is read back, and no address ever changes, so that an iteration can be
captured as a CUDA graph once and replayed for ever.
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass

import torch
from torch import Tensor

from animacy.engine.config import DiTConfig, StreamConfig
from animacy.engine.errors import EngineError
from animacy.engine.kernels import rotate_keys, store_fp8, store_rows
from animacy.engine.kernels.fp8 import FP8
from animacy.engine.models.rope import RotaryEmbedding


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the next frames go, counted in latent frames.

    They take the slots from `slot` on and the rotary positions from `position` on; attention covers the first `seen`
    slots; the sink is turned by `sink_shift` from where it was written.
    """

    slot: int
    seen: int
    position: int
    sink_shift: int

    def numbers(self) -> tuple[int, int, int, int]:
        """As a row of the tensor that `KVCache.window` reads."""
        return astuple(self)


@dataclass(slots=True)
class RollingWindow:
    """Counts frames and says where they go; holds no tensor."""

    sink: int
    window: int
    max_position: int
    frame: int = 0
    base: int = 0

    def __post_init__(self) -> None:
        if self.max_position < 2 * (self.sink + self.window):
            raise EngineError(f"{self.sink} + {self.window} frames do not fit {self.max_position} rotary positions")

    def place(self, frames: int) -> Placement:
        """Where the next `frames` go; does not count them yet, so a chunk may be given up and placed again."""
        end = self.frame + frames
        evicted = max(0, end - self.sink - self.window)
        in_sink = self.frame < self.sink
        slot = self.frame if in_sink else self.sink + (self.frame - self.sink) % self.window
        return Placement(
            slot=slot,
            seen=min(end, self.sink + self.window),
            position=self.frame - self.base,
            sink_shift=evicted - self.base,
        )

    def advance(self, frames: int) -> int:
        """Count `frames` as done.

        Returns how many positions the ring has to be turned back by now; 0 nearly always.
        """
        self.frame += frames
        if self.frame - self.base + self.window <= self.max_position:
            return 0
        turn = self.frame - self.base - self.window - self.sink
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
        if (state["sink"], state["window"]) != (self.sink, self.window):
            raise EngineError(
                "the state was made with another sink or window", "use the configuration it was made with"
            )
        self.frame, self.base = state["frame"], state["base"]


class KVCache:
    """Keys and values of all layers and sessions, in fixed slots: (layers, sessions, slots * tokens, heads, head_dim).

    Args:
        dit: of the transformer.
        stream: sink, window and chunk, and whether to keep keys and values in FP8.
        rope: of the transformer.
        sessions: how many videos there is room for.
        tokens: in a latent frame.
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
        tokens: int,
        dtype: torch.dtype,
        device: torch.device,
        ranks: int = 1,
    ) -> None:
        self._rope = rope
        self.tokens = tokens
        self.slots = stream.sink + stream.window
        self.sink = stream.sink * tokens
        self.chunk = stream.chunk
        shape = (dit.num_layers, sessions, self.slots * tokens, dit.num_heads // ranks, dit.head_dim)
        self.keys = torch.zeros(shape, dtype=FP8 if stream.fp8_cache else dtype, device=device)
        self.values = _channel_by_channel(self.keys) if stream.fp8_cache else torch.zeros_like(self.keys)
        self.sink_keys = self.keys[:, :, : self.sink].clone()
        self._offsets = torch.arange(self.slots * tokens, device=device)

    def first(self, session: int) -> CachedFrames:
        """For the first frame of a session, which sees nothing but itself."""
        rows = session * len(self._offsets) + self._offsets[: self.tokens]
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
        starts = torch.arange(count, device=slot.device) * len(self._offsets) + slot * self.tokens
        rows = (starts.unsqueeze(1) + self._offsets[: self.chunk * self.tokens]).flatten()
        return CachedFrames(self, rows, slice(0, count), len(self._offsets))

    def seen(self, placements: Tensor) -> Tensor:
        """Which rows the sessions may look at while not all slots are filled: (sessions, 1, 1, rows), bool."""
        return (self._offsets < placements[:, 1:2] * self.tokens)[:, None, None]

    def keep_sink(self, session: int, placement: Placement, frames: int) -> None:
        """Remember a session's frames just written as its sink, if that is what they are, before any turn."""
        start, end = placement.slot * self.tokens, (placement.slot + frames) * self.tokens
        if start < self.sink:
            self.sink_keys[:, session, start:end] = self.keys[:, session, start:end]

    def turn_back(self, session: int, frames: int) -> None:
        """Turn the keys of a session's ring back by `frames` positions, see `RollingWindow.advance`."""
        turn = self._rope.shifts(torch.tensor([-frames], device=self.keys.device))
        ring = self.keys[:, session : session + 1, self.sink :]
        rotate_keys(ring, turn.cos, turn.sin, ring)

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
