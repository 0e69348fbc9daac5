"""The causal video diffusion transformer.

One class for the Wan family (arXiv:2503.20314) and for ours: a flow-matching transformer over latent tokens, made
autoregressive by a memory of earlier frames (CausVid, arXiv:2412.07772; Self Forcing, arXiv:2506.08009), with speech
looked at by cross attention in some of its blocks (OmniAvatar, arXiv:2506.18866; InfiniteTalk, arXiv:2508.14033).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from animacy.engine.config import AudioConfig, DiTConfig
from animacy.engine.errors import EngineError
from animacy.engine.kernels import add_norm_modulate, gated_residual, linear_gelu, norm_modulate, quantize_fp8
from animacy.engine.kernels.fp8 import KNOWS_FP8, Quantized
from animacy.engine.kernels.linear_fp8 import Unscaled
from animacy.engine.models.attention import CrossAttention, KeysValues, Memory, SelfAttention
from animacy.engine.models.linear import quantize
from animacy.engine.models.rope import Angles
from animacy.engine.ranks import ALONE, Ranks

_TIME_SCALE = 10_000.0
"""Longest period of the sinusoidal timestep embedding (arXiv:1706.03762)."""


@dataclass(frozen=True, slots=True)
class TimeEmbedding:
    """What a timestep means to the network, float32; computed once for each timestep of a schedule.

    `features` is (batch, groups, dim), `modulation` (batch, groups, 6, dim). A group is a run of tokens with one
    timestep. A batch of 1 serves any batch.
    """

    features: Tensor
    modulation: Tensor


@dataclass(frozen=True, slots=True)
class Conditions:
    """Projected contexts by block: `text` of a whole clip, `audio` with batch * frames as its batch.

    Where there is no prompt, `text` may hold what `VideoDiT.unprompted` computed once instead of keys and values.
    """

    text: Mapping[int, KeysValues | Tensor] = field(default_factory=dict)
    audio: Mapping[int, KeysValues] = field(default_factory=dict)


class AudioProjection(nn.Module):
    """Turns the speech features around a latent frame into context tokens (InfiniteTalk's audio adapter)."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        self.proj1 = nn.Linear(config.window * config.feature_dim, config.hidden_dim)
        self.proj2 = nn.Linear(config.hidden_dim, config.hidden_dim)
        self.proj3 = nn.Linear(config.hidden_dim, config.tokens * config.token_dim)
        self.norm = nn.LayerNorm(config.token_dim)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, frames, window, feature_dim) to (batch * frames, tokens, token_dim)."""
        hidden = F.relu(self.proj1(features.flatten(2).flatten(0, 1)))
        tokens = self.proj3(F.relu(self.proj2(hidden)))
        return self.norm(tokens.unflatten(-1, (self.config.tokens, -1)))


def _modulation(count: int, dim: int) -> Tensor:
    """Of variance 1 / dim as Wan's, but uniform: a normal one imports PyTorch's compiler on the meta device."""
    limit = (3 / dim) ** 0.5
    return torch.empty(1, count, dim).uniform_(-limit, limit)


Owed = tuple[Tensor | Unscaled, Tensor]
"""What a block leaves to be added to the residual stream, and its gate: the next norm adds it in the same pass."""


def pay_and_norm(
    x: Tensor, owed: Owed | None, scale: Tensor, shift: Tensor, eps: float, fp8: bool = False
) -> tuple[Tensor, Tensor | Quantized]:
    """Add what is owed to the residual stream; returns it and its modulated norm."""
    if owed is None:
        return x, norm_modulate(x, scale, shift, eps, fp8=fp8)
    return add_norm_modulate(x, *owed, scale, shift, eps, fp8=fp8)


class FeedForward(nn.Sequential):
    """Two layers with GELU between; a sequence so that its weights have the names of Wan's.

    Each of the ranks has its share of what is hidden.
    """

    def __init__(self, dim: int, hidden: int, ranks: Ranks) -> None:
        mine = ranks.widths(hidden)[ranks.rank]
        super().__init__(nn.Linear(dim, mine), nn.Identity(), nn.Linear(mine, dim))
        self.ranks = ranks

    def forward(self, x: Tensor | Quantized) -> Tensor | Unscaled:
        """Map (batch, tokens, dim) to the same shape."""
        up, _, down = self
        y = down(up(x), gelu=True) if isinstance(x, Quantized) else down(linear_gelu(x, up.weight, up.bias))
        return y if isinstance(y, Unscaled) else self.ranks.all_reduce(y)


class Block(nn.Module):
    """Self attention, text, speech and feed-forward, the first and the last modulated by the timestep.

    Each branch starts with a norm of what the branch before has added to, so that the two are one pass.
    """

    def __init__(self, config: DiTConfig, index: int, ranks: Ranks) -> None:
        super().__init__()
        dim, heads, eps = config.dim, config.num_heads, config.eps
        audio = config.audio if config.audio is not None and index in config.audio.blocks else None
        affine = config.cross_attn_norm
        self.eps = eps
        self.fp8 = False
        self.modulation = nn.Parameter(_modulation(6, dim))
        self.self_attn = SelfAttention(dim, heads, eps, ranks)
        if config.text_dim is not None:
            self.cross_norm = nn.LayerNorm(dim, eps) if affine else None
            self.cross_attn = CrossAttention(dim, dim, heads, eps, ranks)
        if audio is not None:
            self.audio_norm = nn.LayerNorm(dim, eps) if affine else None
            self.audio_attn = CrossAttention(dim, audio.token_dim, heads, eps, ranks)
        self.ffn = FeedForward(dim, config.ffn_dim, ranks)

    def forward(
        self,
        x: Tensor,
        owed: Owed | None,
        modulation: Tensor,
        angles: Angles,
        text: KeysValues | Tensor | None,
        audio: KeysValues | None,
        layer: int,
        memory: Memory | None,
        mask: Tensor | None,
    ) -> tuple[Tensor, Owed]:
        """Transform (batch, tokens, dim) by a modulation (batch, groups, 6, dim); see `VideoDiT.forward` too.

        Returns:
            The residual stream, and what is still to be added to it.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.unbind(2)
        x, h = pay_and_norm(x, owed, scale1, shift1, self.eps, self.fp8)
        y, gate = self.self_attn(h, angles, layer, memory, mask), gate1
        if isinstance(text, Tensor):
            x = gated_residual(x, y, gate1)
            y, gate = text.expand_as(x), None
        elif text is not None:
            x, h = self._add_and_norm(x, y, gate, self.cross_norm)
            y, gate = self.cross_attn(h, text), None
        if audio is not None:
            x, h = self._add_and_norm(x, y, gate, self.audio_norm)
            y, gate = self.audio_attn(h, audio), None
        x, h = add_norm_modulate(x, y, gate, scale2, shift2, self.eps, fp8=self.fp8)
        return x, (self.ffn(h), gate2)

    def quantize(self) -> None:
        """From now on compute in FP8 what every token goes through: norms round what they give to it."""
        # What is added up with other ranks' is whole before.
        alone = self.ffn.ranks.size == 1
        quantize(self, owing=(self.self_attn.o, self.ffn[2]) if alone else ())
        self.fp8 = True

    def remember(
        self, x: Tensor, owed: Owed | None, modulation: Tensor, angles: Angles, layer: int, memory: Memory
    ) -> None:
        """Only store the keys and values: all that later frames need of the last block."""
        shift, scale, *_ = modulation.unbind(2)
        _, h = pay_and_norm(x, owed, scale, shift, self.eps, self.fp8)
        self.self_attn.remember(h, angles, layer, memory)

    def _add_and_norm(
        self, x: Tensor, y: Tensor | Unscaled, gate: Tensor | None, norm: nn.LayerNorm | None
    ) -> tuple[Tensor, Tensor | Quantized]:
        """Add `y` to the residual stream, and norm it for the next branch."""
        if norm is None:
            x = x + y if gate is None else gated_residual(x, y, gate)
            return x, quantize_fp8(x) if self.fp8 else x
        weight, bias = (one.view(1, 1, -1) for one in (norm.weight, norm.bias))
        return add_norm_modulate(x, y, gate, weight, bias, norm.eps, 0.0, self.fp8)


class Head(nn.Module):
    """Last modulated norm and the projection to latent patches."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.modulation = nn.Parameter(_modulation(2, config.dim))
        self.head = nn.Linear(config.dim, prod(config.patch_size) * config.out_channels)

    def forward(self, x: Tensor, owed: Owed | None, time: TimeEmbedding) -> Tensor:
        """Map (batch, tokens, dim) to (batch, tokens, patch * out_channels)."""
        shift, scale = (self.modulation + time.features.unsqueeze(2)).unbind(2)
        return self.head(pay_and_norm(x, owed, scale, shift, self.eps)[1])


class VideoDiT(nn.Module):
    """Predicts the flow velocity (noise minus clean) of some latent frames, given those before them.

    Several ranks may share it as Megatron-LM does (arXiv:1909.08053): heads and the hidden channels of feed-forwards
    are split, all else is on each of them, and each calls everything with the same arguments at the same time.

    Raises:
        EngineError: the heads do not divide by the ranks.
    """

    def __init__(self, config: DiTConfig, ranks: Ranks = ALONE) -> None:
        super().__init__()
        config.check_split(ranks.size)
        self.config = config
        self.ranks = ranks
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, config.patch_size, config.patch_size)
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        if config.text_dim is not None:
            self.text_embedding = nn.Sequential(nn.Linear(config.text_dim, dim), nn.GELU("tanh"), nn.Linear(dim, dim))
        if config.audio is not None:
            self.audio_proj = AudioProjection(config.audio)
        self.blocks = nn.ModuleList(Block(config, index, ranks) for index in range(config.num_layers))
        self.head = Head(config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.modulation.device

    @property
    def dtype(self) -> torch.dtype:
        """What the matrix products run in."""
        return self.head.head.weight.dtype

    def cast(self, dtype: torch.dtype) -> Self:
        """Run in `dtype`, all but the modulation and the timestep embedding, which Wan keeps in float32."""
        for name, parameter in self.named_parameters():
            if not name.startswith("time_") and not name.endswith("modulation"):
                parameter.data = parameter.data.to(dtype)
        return self

    def optimize(self) -> Self:
        """Make it ready for inference, once it has its weights: where the preset says so, in FP8.

        Raises:
            EngineError: the GPU knows no FP8.
        """
        if self.config.fp8:
            if self.device.type == "cuda" and torch.cuda.get_device_capability(self.device) < KNOWS_FP8:
                name = torch.cuda.get_device_name(self.device)
                raise EngineError(f"{name} knows no FP8", "leave fp8 out, or take an Ada, Hopper or later GPU")
            for block in self.blocks:
                block.quantize()
        return self

    def embed_time(self, timesteps: Tensor) -> TimeEmbedding:
        """Embed `timesteps` (batch, groups), 0 (clean) to 1000 (noise).

        groups divides the number of tokens: 1 gives a clip one timestep, the number of latent frames one to each of
        them, the number of tokens one to each token (as Wan2.2-TI2V-5B conditions on its first frame).
        """
        half = self.config.freq_dim // 2
        steps = torch.arange(half, dtype=torch.float64, device=timesteps.device)
        angles = timesteps.double().unsqueeze(-1) * _TIME_SCALE ** (-steps / half)
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1).to(self.time_embedding[0].weight.dtype)
        features = self.time_embedding(waves)
        return TimeEmbedding(features.float(), self.time_projection(features).unflatten(-1, (6, -1)).float())

    def embed_text(self, prompt_embeds: Tensor | None, batch: int) -> dict[int, KeysValues]:
        """Project a prompt for every block.

        Args:
            prompt_embeds: (batch, words, text_dim) of the text encoder, at most `text_len` words; None is no prompt.
            batch: used for None.

        Raises:
            EngineError: the preset knows no text, or the prompt is shaped otherwise.
        """
        config = self.config
        if config.text_dim is None:
            if prompt_embeds is not None:
                raise EngineError("this preset takes no prompt", "leave prompt_embeds out")
            return {}
        if prompt_embeds is None:
            prompt_embeds = torch.zeros(batch, 0, config.text_dim, device=self.device)
        if prompt_embeds.shape[0] != batch or prompt_embeds.shape[2] != config.text_dim:
            raise EngineError(f"prompt_embeds is {tuple(prompt_embeds.shape)}, not ({batch}, words, {config.text_dim})")
        if prompt_embeds.shape[1] > config.text_len:
            raise EngineError(f"the prompt has {prompt_embeds.shape[1]} tokens, at most {config.text_len} fit")
        padding = (0, 0, 0, config.text_len - prompt_embeds.shape[1])
        context = self.text_embedding(F.pad(prompt_embeds.to(self.device, self.dtype), padding))
        return {index: block.cross_attn.project(context) for index, block in enumerate(self.blocks)}

    def unprompted(self) -> dict[int, Tensor]:
        """What text attention adds to every token when there is no prompt, for every block: (1, 1, dim).

        All of the prompt's places then hold the same padding, so that attention returns its value whatever is asked.
        """
        if self.config.text_dim is None:
            return {}
        values = {layer: v[:, :1].flatten(2) for layer, (_, v) in self.embed_text(None, 1).items()}
        return {layer: self.blocks[layer].cross_attn.project_out(value) for layer, value in values.items()}

    def embed_audio(self, features: Tensor) -> dict[int, KeysValues]:
        """Project speech features (batch, frames, window, feature_dim) for the blocks that listen."""
        if self.config.audio is None:
            return {}
        context = self.audio_proj(features.to(self.dtype))
        return {index: self.blocks[index].audio_attn.project(context) for index in self.config.audio.blocks}

    def forward(
        self,
        latents: Tensor,
        time: TimeEmbedding,
        angles: Angles,
        conditions: Conditions,
        memory: Memory | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """One forward over all frames given, which see each other (unless `mask` says otherwise) and the memory.

        Args:
            latents: (batch, in_channels, frames, height, width).
            time: from `embed_time`.
            angles: rotary angles of the tokens, frame after frame, row after row.
            conditions: what was projected from text and speech.
            memory: keys and values of earlier frames; None sees none.
            mask: what broadcasts to (batch, heads, tokens, seen), true where a token may look.

        Returns:
            The velocity, (batch, out_channels, frames, height, width), float32.
        """
        frames, height, width = latents.shape[2:]
        x, owed, _ = self._blocks(self.blocks, latents, time, angles, conditions, memory, mask)
        return self._unpatchify(self.head(x, owed, time), frames, height, width)

    def remember(
        self,
        latents: Tensor,
        time: TimeEmbedding,
        angles: Angles,
        conditions: Conditions,
        memory: Memory,
        mask: Tensor | None = None,
    ) -> None:
        """As `forward`, for what it leaves in the memory alone: nothing is predicted."""
        *earlier, last = self.blocks
        x, owed, modulations = self._blocks(earlier, latents, time, angles, conditions, memory, mask)
        last.remember(x, owed, modulations[-1], angles, len(earlier), memory)

    def _blocks(
        self,
        blocks: Iterable[Block],
        latents: Tensor,
        time: TimeEmbedding,
        angles: Angles,
        conditions: Conditions,
        memory: Memory | None,
        mask: Tensor | None,
    ) -> tuple[Tensor, Owed | None, Tensor]:
        """Through some blocks, from the first on; also returns the modulations (layers, batch, groups, 6, dim)."""
        x, owed = self._patchify(latents), None
        modulations = torch.stack([block.modulation for block in self.blocks]).unsqueeze(1) + time.modulation
        for layer, block in enumerate(blocks):
            text, audio = conditions.text.get(layer), conditions.audio.get(layer)
            x, owed = block(x, owed, modulations[layer], angles, text, audio, layer, memory, mask)
        return x, owed, modulations

    def _patchify(self, latents: Tensor) -> Tensor:
        """Cut latents into tokens and embed them: the strided convolution as one matrix product."""
        _, rows, columns = self.config.patch_size
        cut = latents.unflatten(4, (-1, columns)).unflatten(3, (-1, rows))
        patches = cut.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).flatten(1, 3)
        return F.linear(patches.to(self.dtype), self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)

    def _unpatchify(self, patches: Tensor, frames: int, height: int, width: int) -> Tensor:
        """Put patches (batch, tokens, rows * columns * out_channels) back into latents."""
        _, rows, columns = self.config.patch_size
        grid = (frames, height // rows, width // columns)
        cells = patches.float().unflatten(2, (rows, columns, -1)).unflatten(1, grid)
        return cells.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)
