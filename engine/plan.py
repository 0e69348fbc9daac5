"""What a preset takes of a GPU's memory, known before anything is loaded.

Networks, caches and contexts are made on PyTorch's meta device, where tensors have shapes and no memory: what is
counted is what will be made. Only activations are an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from animacy.engine.cache import KVCache
from animacy.engine.config import PRESETS, Commit, Preset
from animacy.engine.errors import EngineError
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.models.causal_conv import FeatureCache
from animacy.engine.models.rope import RotaryEmbedding
from animacy.engine.ranks import Ranks
from animacy.engine.spread import SPREADS, spread
from animacy.engine.weights import empty_dit, empty_vae

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""What networks may run in, by the name that a user writes."""

_META = torch.device("meta")
_LIVE_WINDOWS = 4
"""How many tensors of a decoder's largest size are in use together: what a convolution reads and gives, the way around
it, and what cuDNN works in."""
_MIB, _GIB = 2**20, 2**30


@dataclass(frozen=True, slots=True)
class Item:
    """Something that takes memory: what it is, on which device of the plan, and its bytes.

    `per_session` items grow in proportion to the sessions; `exact` ones are counted, others estimated.
    """

    name: str
    device: int
    bytes: int
    per_session: bool
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """The memory of a preset at a size for some sessions at once; devices are those of `animacy.engine.spread`."""

    preset: Preset
    size: tuple[int, int]
    sessions: int
    dtype: str
    devices: int
    items: tuple[Item, ...]

    def bytes_on(self, device: int) -> int:
        """All that is needed on a device."""
        return sum(item.bytes for item in self.items if item.device == device)

    @property
    def lines(self) -> tuple[str, ...]:
        """The plan as lines of a table: what, how much, where; estimates are marked with "about"."""
        height, width = self.size
        few = "1 session" if self.sessions == 1 else f"{self.sessions} sessions"
        title = f"{self.preset.name} at {width}x{height}, {self.dtype}, {few}"
        rows = [(item.name, item.bytes, item.device, item.exact) for item in self.items]
        rows += [("together", self.bytes_on(device), device, False) for device in range(self.devices)]
        return (
            title,
            *(
                f"  {name:<32}{'' if exact else 'about':>5} {_amount(amount):>10}  GPU {device}"
                for name, amount, device, exact in rows
            ),
        )

    def check(self, free_bytes: int | Mapping[int, int]) -> None:
        """Refuse what does not fit.

        Args:
            free_bytes: of each device of the plan, or only of those by number.

        Raises:
            EngineError: something does not fit; says what, by how much, and what would help.
        """
        free = dict.fromkeys(range(self.devices), free_bytes) if isinstance(free_bytes, int) else free_bytes
        short = [device for device in free if self.bytes_on(device) > free[device]]
        if not short:
            return
        what = "; ".join(self._shortage(device, free[device]) for device in short)
        raise EngineError(f"{self.lines[0]} does not fit: {what}", "; or ".join(self._remedies(free, short)))

    def _shortage(self, device: int, free: int) -> str:
        """What is missing on a device, and what takes the most of it."""
        needed = self.bytes_on(device)
        most = max((item for item in self.items if item.device == device), key=lambda item: item.bytes)
        return (
            f"GPU {device} needs {_amount(needed)} and has {_amount(free)} free, {_amount(needed - free)} too little "
            f"({most.name}: {_amount(most.bytes)})"
        )

    def _remedies(self, free: Mapping[int, int], short: list[int]) -> Iterable[str]:
        """What would make it fit or bring it nearer, the least change first."""
        fitting = min(self._sessions_within(free[device], device) for device in short)
        if 0 < fitting < self.sessions:
            yield f"run at most {fitting} session{'' if fitting == 1 else 's'} at once"
        light = f"{self.preset.name}-light"
        if light in PRESETS and self.devices - 1 in short:
            yield f"take the lighter decoder of preset {light}"
        if self.devices == 1:
            yield "give the decoder a GPU of its own"
        elif self.devices < max(SPREADS):
            yield f"spread it over {self.devices + 1} GPUs"
        yield "choose a smaller size"
        yield f"take a GPU with {_amount(max(map(self.bytes_on, short)))} free"

    def _sessions_within(self, free: int, device: int) -> int:
        """How many sessions a device has room for."""
        mine = [item for item in self.items if item.device == device]
        fixed = sum(item.bytes for item in mine if not item.per_session)
        each = sum(item.bytes for item in mine if item.per_session) / self.sessions
        return max(0, int((free - fixed) / each))


def plan(
    preset: Preset,
    height: int | None = None,
    width: int | None = None,
    sessions: int = 1,
    dtype: str = "bf16",
    gpus: int = 1,
) -> Plan:
    """Count what `sessions` of `preset` will take.

    Args:
        preset: what is to run.
        height: in pixels; None takes the preset's size.
        width: as `height`.
        sessions: how many at once.
        dtype: of the networks, one of `DTYPES`.
        gpus: over how many it is spread, one of `SPREADS`.

    Raises:
        EngineError: the size does not divide, the transformer cannot be shared, or there is no such dtype.
    """
    if dtype not in DTYPES:
        raise EngineError(f"there is no dtype {dtype!r}", f"choose one of {', '.join(DTYPES)}")
    if sessions < 1:
        raise EngineError(f"{sessions} sessions cannot be planned", "plan 1 or more")
    size = (height or preset.size[0], width or preset.size[1])
    shared = spread(gpus)
    dit = empty_dit(preset.dit, _META, DTYPES[dtype], Ranks(0, shared.dit)).optimize()
    vae = empty_vae(preset.vae, _META, DTYPES[dtype]).share(Ranks(0, max(1, shared.vae)))
    generating = (
        Item("transformer weights", 0, _of_module(dit), per_session=False),
        *_transformer_items(preset, dit, size, sessions),
    )
    decoding = (
        Item("autoencoder weights", 0, _of_module(vae), per_session=False),
        *_decoder_items(preset, vae, size, sessions),
    )
    items = (
        *(replace(item, device=device) for device in range(shared.dit) for item in generating),
        *(replace(item, device=device) for device in range(gpus - vae.ranks.size, gpus) for item in decoding),
    )
    return Plan(preset, size, sessions, dtype, gpus, items)


def _transformer_items(preset: Preset, dit: VideoDiT, size: tuple[int, int], sessions: int) -> Iterable[Item]:
    """What sessions take where the transformer is."""
    config, stream = preset.dit, preset.stream
    rope = RotaryEmbedding(config, _META)
    grid = config.grid(*preset.latent_size(*size))
    cache = KVCache(config, stream, rope, sessions, grid, dit.dtype, _META, dit.ranks.size)
    caches = len(stream.timesteps) if stream.commit is Commit.ALIGNED else 1
    yield Item(
        "keys and values of the video", 0, caches * _of((cache.keys, cache.values, cache.sink_keys)), per_session=True
    )
    if stream.memory:
        # Sums, and what is added to them, of keys or of values.
        summed = 2 * stream.chunk * cache.pooled * config.num_layers * config.dim // dit.ranks.size
        yield Item("averages of old frames", 0, summed * torch.float32.itemsize, per_session=False, exact=False)
    if config.text_dim is not None:
        text = dit.embed_text(None, sessions)
        yield Item("keys and values of prompts", 0, _of_pairs(text.values()), per_session=True)
    if config.audio is not None:
        window = torch.empty(sessions, stream.chunk, config.audio.window, config.audio.feature_dim, device=_META)
        yield Item("keys and values of speech", 0, _of_pairs(dit.embed_audio(window).values()), per_session=True)
    # A block's residual stream and branch, its queries, keys and values, and both sides of the activation in between.
    widths = 2 * config.dim + (4 * config.dim + 2 * config.ffn_dim) // dit.ranks.size
    activations = sessions * stream.chunk * cache.tokens * widths * dit.dtype.itemsize
    yield Item("activations of the transformer", 0, activations, per_session=True, exact=False)


def _decoder_items(preset: Preset, vae: VideoVAE, size: tuple[int, int], sessions: int) -> Iterable[Item]:
    """What sessions take where the decoder is."""
    features = _CountingCache()
    latents = torch.empty(sessions, preset.vae.z_dim, 1, *preset.latent_size(*size), device=_META)
    for first in (True, False):
        vae.decode(latents, features, first)
    yield Item("feature cache of the decoder", 0, sum(features.bytes.values()), per_session=True)
    activations = _LIVE_WINDOWS * max(features.bytes.values())
    yield Item("activations of the decoder", 0, activations, per_session=True, exact=False)


class _CountingCache(FeatureCache):
    """Notes how large the buffer of each convolution is."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[str, int] = {}

    def window(
        self, key: str, x: Tensor, past: int, frames: int, layout: torch.memory_format, beyond: int = 0
    ) -> Tensor:
        """A window of the first frame is part of its buffer; those of later ones are all of it."""
        window = super().window(key, x, past, frames, layout, beyond)
        self.bytes[key] = window.nbytes
        return window


def _amount(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.1f} MiB"


def _of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _of_pairs(pairs: Iterable[tuple[Tensor, Tensor]]) -> int:
    return sum(_of(pair) for pair in pairs)


def _of_module(module: VideoDiT | VideoVAE) -> int:
    return _of(module.parameters()) + _of(module.buffers())
