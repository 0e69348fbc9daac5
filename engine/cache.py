"""Keys and values of what was generated: a few first frames for ever, and a rolling window of the latest.

The first frames anchor the picture (attention sinks, arXiv:2309.17453; LongLive, arXiv:2509.22622). The window is a
ring of fixed slots: a new chunk overwrites the oldest, nothing moves, and memory is constant for any length. Attention
does not mind the order of keys, only their rotary positions, and of those only differences matter:

- a frame in the ring keeps the position at which it was written, so its distance to the present grows as it should;
- the sink is turned forward each time the ring drops a frame, so it stays right behind the oldest frame of the window;
- before positions reach the end of the rotary tables, the whole ring is turned back. A key lives for one round of the
  ring, so it is turned back at most once and rounding does not add up.

What is counted is plain integers; nothing is read back from the device.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from animacy.engine.config import DiTConfig, StreamConfig
from animacy.engine.errors import EngineError
from animacy.engine.models.attention import KeysValues
from animacy.engine.models.rope import RotaryEmbedding


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the next frames go, counted in latent frames.

    They take the slots from `slot` on and the rotary positions from `position` on; attention covers the first `seen`
    slots; the sink is turned by `sink_shift` from where it was written.
    """

    frames: int
    slot: int
    seen: int
    position: int
    sink_shift: int


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
            frames=frames,
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
    """The keys and values of all layers, in fixed slots: (layers, batch, slots * tokens, heads, head_dim).

    `tokens` is the number of tokens in a latent frame. Keys are kept rotated.
    """

    def __init__(
        self,
        dit: DiTConfig,
        stream: StreamConfig,
        rope: RotaryEmbedding,
        batch: int,
        tokens: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._rope = rope
        self._tokens = tokens
        self._sink = stream.sink * tokens
        shape = (dit.num_layers, batch, (stream.sink + stream.window) * tokens, dit.num_heads, dit.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.sink_keys = self.keys[:, :, : self._sink].clone()
        self._offsets = torch.arange(stream.chunk * tokens, device=device)
        self._slots = self._offsets.clone()
        self._placement = Placement(0, 0, 0, 0, 0)
        self._sink_shift: int | None = None

    def begin(self, placement: Placement) -> None:
        """Make ready for frames at `placement`: where they are written, and the sink at its new distance."""
        if self._sink and placement.sink_shift != self._sink_shift:
            self.keys[:, :, : self._sink] = self._rope.shift(self.sink_keys, placement.sink_shift)
            self._sink_shift = placement.sink_shift
        torch.add(self._offsets, placement.slot * self._tokens, out=self._slots)
        self._placement = placement

    def update(self, layer: int, keys: Tensor, values: Tensor) -> KeysValues:
        """Write the present frames of a layer over what was in their slots, and return all that they see.

        Called again at every denoising step of a chunk: the last one stays.
        """
        here = self._slots[: keys.shape[1]]
        self.keys[layer].index_copy_(1, here, keys)
        self.values[layer].index_copy_(1, here, values)
        start = self._placement.slot * self._tokens
        if start < self._sink:
            self.sink_keys[layer, :, start : start + keys.shape[1]].copy_(keys)
        seen = self._placement.seen * self._tokens
        return self.keys[layer, :, :seen], self.values[layer, :, :seen]

    def turn_back(self, frames: int) -> None:
        """Turn the keys of the ring back by `frames` positions, see `RollingWindow.advance`."""
        for keys in self.keys:  # one layer at a time: the rotation works on a float32 copy
            ring = keys[:, self._sink :]
            ring.copy_(self._rope.shift(ring, -frames))

    def copy_(self, other: KVCache) -> None:
        """Take over what `other` holds."""
        for mine, theirs in zip(self._tensors().values(), other._tensors().values(), strict=True):
            mine.copy_(theirs)
        self._sink_shift = None

    def reset(self) -> None:
        """Forget everything without giving back memory."""
        for tensor in self._tensors().values():
            tensor.zero_()
        self._sink_shift = None

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of what is held."""
        return {name: tensor.clone() for name, tensor in self._tensors().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` gave, in place."""
        for name, tensor in self._tensors().items():
            if state[name].shape != tensor.shape:
                raise EngineError(f"the state's {name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}")
            tensor.copy_(state[name])
        self._sink_shift = None

    def _tensors(self) -> dict[str, Tensor]:
        return {"keys": self.keys, "values": self.values, "sink_keys": self.sink_keys}
