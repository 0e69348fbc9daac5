"""Weights: loaded and saved as safetensors, strictly (every parameter is filled, nothing is left over), or random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from animacy.engine.config import DiTConfig, VAEConfig
from animacy.engine.errors import WeightsError
from animacy.engine.layouts import Layout, Slot, layouts
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.ranks import ALONE, Ranks
from animacy.engine.shards import shards

_SHOWN = 5
"""How many names an error message lists of each kind."""

_NORM_SPREAD = 0.2
"""Standard deviation of random weights of norms."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load found: the layout, and the checkpoint's names that were wanted, left over, or of another shape."""

    layout: Layout
    prefix: str
    loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether everything was filled and nothing was left over."""
        return not (self.missing or self.unexpected or self.misshaped)

    def __str__(self) -> str:
        lines = [f"{self.loaded} tensors, {self.layout} names" + (f" under {self.prefix!r}" if self.prefix else "")]
        for title in ("missing", "unexpected", "misshaped"):
            names: tuple[str, ...] = getattr(self, title)
            if names:
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                lines.append(f"{title}: {', '.join(names[:_SHOWN])}{more}")
        return "; ".join(lines)


def empty_dit(
    config: DiTConfig,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    ranks: Ranks = ALONE,
) -> VideoDiT:
    """Make a transformer, or a rank's part of one; the values are any.

    It is on `device` and in `dtype` from the start, so that it never takes more.
    """
    with torch.device("meta"):
        model = VideoDiT(config, ranks).cast(dtype)
        # `to_empty` would import PyTorch's compiler first, which takes seconds.
        empty = {name: torch.empty(one.shape, dtype=one.dtype, device=device) for name, one in model.named_parameters()}
    model.load_state_dict(empty, assign=True)
    return _for_inference(model)


def empty_vae(config: VAEConfig, device: torch.device | str = "cpu", dtype: torch.dtype = torch.bfloat16) -> VideoVAE:
    """Make an autoencoder on `device` and in `dtype`; the values of its weights are any."""
    with torch.device(device):
        model = VideoVAE(config)
    return _for_inference(model.cast(dtype))


def load_dit(
    config: DiTConfig,
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    strict: bool = True,
    ranks: Ranks = ALONE,
) -> tuple[VideoDiT, LoadReport]:
    """Make a transformer, or a rank's part of one, and fill it from `path`; ready for inference.

    See `load`; not strict leaves zeros.
    """
    return _filled(empty_dit(config, device, dtype, ranks), path, strict)


def load_vae(
    config: VAEConfig,
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    strict: bool = True,
) -> tuple[VideoVAE, LoadReport]:
    """Make an autoencoder and fill it from `path`; ready for inference. See `load`; not strict leaves zeros."""
    return _filled(empty_vae(config, device, dtype), path, strict)


def random_(model: Network, seed: int = 0) -> Network:
    """Fill a network with random weights where it stands, so that servers and benchmarks run where there are none.

    Norms are near one and projections keep the size of what they are given, so that activations stay in the range of
    bfloat16 and every part has its say. What is drawn depends on the kind of device. Ranks that share a network each
    take their part of what one alone would draw.

    Returns:
        The network, ready for inference.
    """
    generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)
    shared = shards(model)
    for name, parameter in model.named_parameters():
        shard = shared[name]
        values = parameter.data if shard.ranks.size == 1 else parameter.new_empty(shard.whole(parameter.shape))
        is_norm = ("norm" in name and name.endswith("weight")) or name.endswith("gamma")
        fan_in = values[0].numel() if values.dim() > 1 else values.numel()
        mean, std = (1.0, _NORM_SPREAD) if is_norm else (0.0, fan_in**-0.5)
        values.normal_(mean, std, generator=generator)
        if shard.ranks.size > 1:
            parameter.data.copy_(shard.take_fused(values))
    return _for_inference(model)


def load(model: nn.Module, path: Path, strict: bool = True) -> LoadReport:
    """Fill `model` from a safetensors file, or a folder of shards, in either layout.

    Tensors are read one at a time and cast to what they fill, so no second copy of the model is ever in memory, and a
    rank that shares it with others never holds more than its part and one tensor. Names
    may stand under a common prefix (`model.`, `generator.`), which is found by itself.

    Args:
        model: a `VideoDiT` or `VideoVAE`.
        path: the file, or a folder whose *.safetensors together hold the weights.
        strict: raise unless the report is complete; otherwise what is not in the checkpoint stays as it is.

    Raises:
        WeightsError: the path holds no weights, is damaged, or (strict) does not fit; the message says in what.
    """
    return load_tensors(model, _Files(path), strict)


def load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], strict: bool = True) -> LoadReport:
    """Fill `model` from a mapping of names to tensors; see `load`."""
    layout, prefix, slots = _match(model, tensors.keys())
    parameters, shared = dict(model.named_parameters()), shards(model)
    misshaped = []
    found = {name: slot for name, slot in slots.items() if prefix + name in tensors}
    with torch.no_grad():
        for name, slot in found.items():
            target, source, shard = _target(parameters, slot), tensors[prefix + name], shared[slot.parameter]
            expected = shard.whole(target.shape)
            if source.shape == expected:
                target.copy_(shard.take(source))
            else:
                misshaped.append(f"{prefix}{name} {tuple(source.shape)} for {tuple(expected)}")
    report = LoadReport(
        layout=layout,
        prefix=prefix,
        loaded=len(found) - len(misshaped),
        missing=tuple(prefix + name for name in slots if name not in found),
        unexpected=tuple(sorted(name for name in tensors if name.removeprefix(prefix) not in slots)),
        misshaped=tuple(misshaped),
    )
    if strict and not report.complete:
        raise WeightsError(
            f"the weights do not fit the model: {report}",
            "choose the preset that they were made for, or load with strict=False to keep what fits",
        )
    return report


def export(model: nn.Module, layout: Layout) -> dict[str, Tensor]:
    """The weights of `model` under the names of `layout`, as dense tensors that share nothing."""
    parameters = dict(model.named_parameters())
    return {
        name: _target(parameters, slot).detach().clone(memory_format=torch.contiguous_format)
        for name, slot in layouts(model)[layout].items()
    }


def save(model: nn.Module, path: Path, layout: Layout = Layout.ORIGINAL) -> None:
    """Write the weights of `model` to a safetensors file."""
    save_file(export(model, layout), path)


def _for_inference(model: Network) -> Network:
    return model.eval().requires_grad_(False)


def _filled(model: Network, path: Path, strict: bool) -> tuple[Network, LoadReport]:
    """`model` with the weights at `path`; zeros where a checkpoint may leave something out."""
    if not strict:
        for parameter in model.parameters():
            parameter.data.zero_()
    return model, load(model, path, strict)


def _target(parameters: Mapping[str, nn.Parameter], slot: Slot) -> Tensor:
    """The part of a parameter that a slot names."""
    parameter = parameters[slot.parameter]
    return parameter if slot.rows is None else parameter[slot.start : slot.start + slot.rows]


def _match(model: nn.Module, names: Iterable[str]) -> tuple[Layout, str, dict[str, Slot]]:
    """The layout and prefix under which most of the names are known."""
    known = layouts(model)
    present = set(names)
    best = max(
        ((layout, prefix) for layout, slots in known.items() for prefix in _prefixes(present, slots)),
        key=lambda choice: sum(choice[1] + name in present for name in known[choice[0]]),
    )
    return *best, known[best[0]]


def _prefixes(present: set[str], slots: Mapping[str, Slot]) -> Iterator[str]:
    """No prefix, and what stands before the model's first name wherever it occurs."""
    yield ""
    first = next(iter(slots))
    yield from {name.removesuffix(first) for name in present if name.endswith("." + first)}


class _Files(Mapping[str, Tensor]):
    """The tensors of one or several safetensors files, read when asked for."""

    def __init__(self, path: Path) -> None:
        files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        if not files or not all(file.is_file() for file in files):
            raise WeightsError(f"there are no safetensors weights at {path}", "give a .safetensors file or its folder")
        self._open = {}
        for file in files:
            try:
                opened = safe_open(file, framework="pt")
            except (SafetensorError, OSError) as error:
                raise WeightsError(f"{file} is damaged: {error}", "fetch it again") from error
            self._open.update(dict.fromkeys(opened.keys(), opened))

    def __getitem__(self, name: str) -> Tensor:
        return self._open[name].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)
