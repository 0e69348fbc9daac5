"""What checkpoints call the weights: the names of the Wan repositories, those of diffusers, and how they map to ours.

Ours differ from both in that query, key and value projections are one matrix: an entry names the rows it fills. The
autoencoder's blocks are nested by stage as in Wan2.2. Beware of the transformer's norms: what Wan calls norm3 (before
text attention) is norm2 in diffusers, and the other way round; ours is `cross_norm`, the only one with weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from torch import nn

from animacy.engine.models import VideoDiT, VideoVAE


class Layout(StrEnum):
    """Whose names a checkpoint uses."""

    ORIGINAL = "original"
    DIFFUSERS = "diffusers"


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a checkpoint's tensor goes: rows [start, start + rows) of one of our parameters, all if `rows` is None."""

    parameter: str
    start: int = 0
    rows: int | None = None


Rules = tuple[tuple[str, str], ...]
"""Regular expressions with their replacements; the first that matches from the start applies."""

_DIT_ORIGINAL: Rules = ((r"blocks\.(\d+)\.cross_norm\.", r"blocks.\1.norm3."),)

_DIT_DIFFUSERS: Rules = (
    (r"time_embedding\.0\.", "condition_embedder.time_embedder.linear_1."),
    (r"time_embedding\.2\.", "condition_embedder.time_embedder.linear_2."),
    (r"time_projection\.1\.", "condition_embedder.time_proj."),
    (r"text_embedding\.0\.", "condition_embedder.text_embedder.linear_1."),
    (r"text_embedding\.2\.", "condition_embedder.text_embedder.linear_2."),
    (r"head\.modulation", "scale_shift_table"),
    (r"head\.head\.", "proj_out."),
    (r"blocks\.(\d+)\.modulation", r"blocks.\1.scale_shift_table"),
    (r"blocks\.(\d+)\.cross_norm\.", r"blocks.\1.norm2."),
    (r"blocks\.(\d+)\.ffn\.0\.", r"blocks.\1.ffn.net.0.proj."),
    (r"blocks\.(\d+)\.ffn\.2\.", r"blocks.\1.ffn.net.2."),
    (r"blocks\.(\d+)\.self_attn\.norm_", r"blocks.\1.attn1.norm_"),
    (r"blocks\.(\d+)\.cross_attn\.norm_", r"blocks.\1.attn2.norm_"),
    (r"blocks\.(\d+)\.self_attn\.o\.", r"blocks.\1.attn1.to_out.0."),
    (r"blocks\.(\d+)\.cross_attn\.o\.", r"blocks.\1.attn2.to_out.0."),
    (r"blocks\.(\d+)\.self_attn\.", r"blocks.\1.attn1.to_"),
    (r"blocks\.(\d+)\.cross_attn\.", r"blocks.\1.attn2.to_"),
)

_RESIDUAL_ORIGINAL = {
    "norm1.": "residual.0.",
    "conv1.": "residual.2.",
    "norm2.": "residual.3.",
    "conv2.": "residual.6.",
    "shortcut.": "shortcut.",
}


def layouts(model: nn.Module) -> dict[Layout, dict[str, Slot]]:
    """For each layout, every name a checkpoint of `model` must hold, with the place that it fills."""
    if isinstance(model, VideoDiT):
        slots = _dit_slots(model)
        return {
            Layout.ORIGINAL: {_rename(name, _DIT_ORIGINAL): slot for name, slot in slots.items()},
            Layout.DIFFUSERS: {_rename(name, _DIT_DIFFUSERS): slot for name, slot in slots.items()},
        }
    if isinstance(model, VideoVAE):
        names = [name for name, _ in model.named_parameters()]
        return {
            Layout.ORIGINAL: _renamed(names, _vae_original(model)),
            Layout.DIFFUSERS: _renamed(names, _vae_diffusers(model)),
        }
    raise TypeError(f"no checkpoint layout is known for {type(model).__name__}")


def _rename(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        renamed, count = re.subn(f"^{pattern}", replacement, name, count=1)
        if count:
            return renamed
    return name


def _renamed(names: Iterable[str], rename: Callable[[str], str]) -> dict[str, Slot]:
    return {rename(name): Slot(name) for name in names}


def _dit_slots(model: VideoDiT) -> dict[str, Slot]:
    """Our names with fused projections taken apart: `qkv` into q, k, v and `kv` into k, v."""
    slots: dict[str, Slot] = {}
    for name, parameter in model.named_parameters():
        fused = re.search(r"\.(qkv|kv)\.(weight|bias)$", name)
        if fused is None:
            slots[name] = Slot(name)
            continue
        rows = parameter.shape[0] // len(fused[1])
        for index, letter in enumerate(fused[1]):
            slots[f"{name[: fused.start()]}.{letter}.{fused[2]}"] = Slot(name, index * rows, rows)
    return slots


def _vae_original(model: VideoVAE) -> Callable[[str], str]:
    """Names of Wan2.1_VAE and Wan2.2_VAE; the former numbers the layers of all stages through."""
    config = model.config
    nested = config.residual
    side = {"encoder": ("downsamples", config.num_res_blocks), "decoder": ("upsamples", config.num_res_blocks + 1)}

    def layer(half: str, stage: int, index: int) -> str:
        folder, blocks = side[half]
        if nested:
            return f"{half}.{folder}.{stage}.{folder}.{index}."
        return f"{half}.{folder}.{stage * (blocks + 1) + index}."

    def rename(name: str) -> str:
        name = name.replace("post_quant_conv.", "conv2.").replace("quant_conv.", "conv1.")
        name = name.replace(".conv_in.", ".conv1.").replace(".norm_out.", ".head.0.").replace(".conv_out.", ".head.2.")
        name = name.replace(".mid.attn.", ".middle.1.")
        if found := re.match(r"(\w+)\.mid\.block([12])\.(\w+\.)", name):
            middle = 2 * (int(found[2]) - 1)
            return f"{found[1]}.middle.{middle}.{_RESIDUAL_ORIGINAL[found[3]]}{name[found.end() :]}"
        if found := re.match(r"(\w+)\.stages\.(\d+)\.blocks\.(\d+)\.(\w+\.)", name):
            return layer(found[1], int(found[2]), int(found[3])) + _RESIDUAL_ORIGINAL[found[4]] + name[found.end() :]
        if found := re.match(r"(\w+)\.stages\.(\d+)\.resample\.", name):
            rest = name[found.end() :]
            inner = rest if rest.startswith("time_conv") else rest.replace("conv.", "resample.1.")
            return layer(found[1], int(found[2]), side[found[1]][1]) + inner
        return name

    return rename


def _vae_diffusers(model: VideoVAE) -> Callable[[str], str]:
    """Names of diffusers' AutoencoderKLWan; only the encoder of Wan2.1 is numbered through there."""
    config = model.config

    def stage(half: str, index: int) -> str:
        return f"{half}.{'down' if half == 'encoder' else 'up'}_blocks.{index}."

    def rename(name: str) -> str:
        flat = not config.residual and name.startswith("encoder.")
        through = config.num_res_blocks + 1
        name = name.replace(".mid.attn.", ".mid_block.attentions.0.")
        name = name.replace(".mid.block1.", ".mid_block.resnets.0.").replace(".mid.block2.", ".mid_block.resnets.1.")
        name = name.replace(".shortcut.", ".conv_shortcut.")
        if found := re.match(r"(\w+)\.stages\.(\d+)\.blocks\.(\d+)\.", name):
            half, at, block = found[1], int(found[2]), int(found[3])
            place = stage(half, at * through + block) if flat else f"{stage(half, at)}resnets.{block}."
            return place + name[found.end() :]
        if found := re.match(r"(\w+)\.stages\.(\d+)\.resample\.", name):
            half, at, rest = found[1], int(found[2]), name[found.end() :]
            inner = rest if rest.startswith("time_conv") else rest.replace("conv.", "resample.1.")
            if flat:
                return stage(half, at * through + config.num_res_blocks) + inner
            folder = "downsampler." if half == "encoder" else "upsampler." if config.residual else "upsamplers.0."
            return stage(half, at) + folder + inner
        return name

    return rename
