"""Every number of every preset. Nothing else in the engine knows a channel count, a layer count or a window.

The shapes of the Wan family are those of the Wan 2.1 technical report (arXiv:2503.20314) and of the repositories
Wan-Video/Wan2.1 and Wan-Video/Wan2.2. This module needs no PyTorch, so that presets can be listed anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod

from animacy.engine.errors import EngineError


class Solver(StrEnum):
    """How one denoising step leads to the next.

    EULER follows the flow's velocity; RENOISE predicts the clean latent and noises it afresh, as distribution-matching
    distillation trains it (DMD2, arXiv:2405.14867; Self Forcing, arXiv:2506.08009).
    """

    EULER = "euler"
    RENOISE = "renoise"


class Commit(StrEnum):
    """What later frames see of a finished one.

    CLEAN runs one more forward at timestep 0 and keeps its keys and values (Self Forcing). ALIGNED keeps those of every
    denoising step in a cache of its own, and a step sees the past at its own noise level, so no further forward is
    needed (Live Avatar, arXiv:2512.04677); it costs one cache a step.
    """

    CLEAN = "clean"
    ALIGNED = "aligned"


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioConfig:
    """Cross attention from a latent frame's tokens to the speech around it (OmniAvatar, InfiniteTalk, Wan2.2-S2V).

    `window` speech features of `feature_dim` become `tokens` context tokens of `token_dim` through an MLP of
    `hidden_dim`, for each latent frame; `blocks` are the transformer blocks that look at them.
    """

    feature_dim: int
    window: int
    hidden_dim: int
    tokens: int
    token_dim: int
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiTConfig:
    """The video diffusion transformer.

    `patch_size` is (frames, rows, columns) of latents in a token. `text_dim` None leaves text cross attention out;
    otherwise prompts are padded with zeros to `text_len`. `audio` None leaves audio cross attention out.
    `max_position` is the length of the rotary tables in latent frames, rows and columns. `fp8` rounds what the blocks
    multiply to FP8 (Hopper and later), at some cost in precision.
    """

    dim: int
    num_heads: int
    num_layers: int
    ffn_dim: int
    in_channels: int
    out_channels: int
    patch_size: tuple[int, int, int]
    freq_dim: int
    text_dim: int | None
    text_len: int
    audio: AudioConfig | None
    cross_attn_norm: bool
    eps: float
    rope_theta: float
    max_position: int
    fp8: bool = False

    def __post_init__(self) -> None:
        if self.dim % self.num_heads or self.head_dim % 2:
            raise EngineError(f"dim {self.dim} does not divide into {self.num_heads} heads of even size")
        if self.patch_size[0] != 1:
            raise EngineError("a token must lie in one latent frame", "set patch_size to (1, rows, columns)")
        if self.audio is not None and not set(self.audio.blocks) <= set(range(self.num_layers)):
            raise EngineError(f"audio blocks {self.audio.blocks} are not all below num_layers {self.num_layers}")

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.num_heads

    def check_split(self, ranks: int) -> None:
        """Raises EngineError where `ranks` GPUs cannot share the transformer: each has as many whole heads."""
        if self.num_heads % ranks:
            fitting = [str(n) for n in range(1, ranks) if self.num_heads % n == 0]
            raise EngineError(
                f"{self.num_heads} heads of the transformer do not divide by {ranks} GPUs",
                f"let it have {' or '.join(fitting)} of them",
            )

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens in a latent frame of `height` x `width`."""
        return height // self.patch_size[1], width // self.patch_size[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class VAEConfig:
    """The causal video autoencoder.

    Stage i of the encoder has `encoder_dim * dim_mult[i]` channels and halves height and width, all but the last;
    `temporal_downsample[i]` says whether it halves time too. The decoder mirrors it. `patch_size` folds pixels into
    channels before the first convolution. `residual` adds Wan2.2's parameter-free shortcuts around the stages.
    `latents_mean` and `latents_std` (one a channel) bring latents to the scale that the transformer was trained on.
    """

    z_dim: int
    encoder_dim: int
    decoder_dim: int
    dim_mult: tuple[int, ...]
    num_res_blocks: int
    temporal_downsample: tuple[bool, ...]
    patch_size: int
    residual: bool
    latents_mean: tuple[float, ...]
    latents_std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.temporal_downsample) != len(self.dim_mult) - 1:
            raise EngineError("temporal_downsample needs one entry for each stage of dim_mult but the last")
        if not len(self.latents_mean) == len(self.latents_std) == self.z_dim:
            raise EngineError(f"latents_mean and latents_std need z_dim = {self.z_dim} entries each")

    @property
    def spatial_factor(self) -> int:
        """Pixels to a latent, in height and in width."""
        return int(self.patch_size * 2 ** (len(self.dim_mult) - 1))

    @property
    def temporal_factor(self) -> int:
        """Frames to a latent frame, after the first, which stands for one."""
        return int(2 ** sum(self.temporal_downsample))


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """How latents are generated one after the other.

    `timesteps` (1000 is pure noise, descending) are warped by `shift` as flow matching does for resolution
    (arXiv:2403.03206, eq. 23; 1 leaves them). `chunk` latent frames are denoised together. They see `sink` first frames
    for ever and a rolling `window` of latest ones, the chunk included (attention sinks: arXiv:2309.17453, LongLive:
    arXiv:2509.22622). The `memory` frames before those are remembered coarsely: `pool` (rows, columns) tokens averaged
    into one, which needs no weights, though a model trained for it does better (see `animacy.engine.cache`). Counts are
    latent frames. `fp8_cache` keeps keys and values in FP8, which halves their memory; on Hopper and later attention is
    then computed in FP8, too, faster and a little less precise.
    """

    timesteps: tuple[float, ...]
    shift: float
    solver: Solver
    commit: Commit
    chunk: int
    sink: int
    window: int
    fps: int
    fp8_cache: bool = False
    memory: int = 0
    pool: tuple[int, int] = (2, 2)

    def __post_init__(self) -> None:
        steps = self.timesteps
        if not steps or any(not 0 < step <= 1000 for step in steps) or list(steps) != sorted(set(steps), reverse=True):
            raise EngineError(f"timesteps must fall from at most 1000 to above 0, got {steps}")
        if self.chunk < 1 or self.window < self.chunk or self.window % self.chunk:
            raise EngineError(f"window {self.window} must be a multiple of chunk {self.chunk}")
        if self.memory < 0 or self.memory % self.chunk:
            raise EngineError(f"memory {self.memory} does not fit chunks of {self.chunk}", "take 0 or a multiple")
        if min(self.pool) < 1:
            raise EngineError(f"pool {self.pool} averages no tokens", "take rows and columns, each 1 or more")
        if self.sink < 0 or (self.chunk > 1 and (self.sink - 1) % self.chunk):
            raise EngineError(
                f"sink {self.sink} does not fit chunks of {self.chunk}",
                f"the picture is the first frame, so take 1 + a multiple of {self.chunk}",
            )


def check_positions(sink: int, window: int, memory: int, positions: int) -> None:
    """Raises EngineError where so many rotary positions are too few for a stream of any length.

    Keys are turned back when they run out, to right behind the sink, and last `window + memory` frames. With fewer
    positions these would run out twice in that time.
    """
    needed = sink + 2 * (window + memory) + window - 1
    if positions < needed:
        raise EngineError(
            f"a sink of {sink}, a window of {window} and a memory of {memory} latent frames need {needed} rotary "
            f"positions, there are {positions}",
            "take a shorter window or memory",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A model and how it streams; `size` is the (height, width) in pixels that it is meant for."""

    name: str
    dit: DiTConfig
    vae: VAEConfig
    stream: StreamConfig
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.dit.out_channels != self.vae.z_dim:
            raise EngineError(f"the transformer makes {self.dit.out_channels} channels, the VAE takes {self.vae.z_dim}")
        check_positions(self.stream.sink, self.stream.window, self.stream.memory, self.dit.max_position)

    def tuned(
        self, fp8: bool = False, steps: int | None = None, window: int | None = None, memory: int | None = None
    ) -> Preset:
        """The same model run in another way, for speed or for quality.

        Args:
            fp8: matrix products of the transformer, its keys and its values in FP8.
            steps: so many of the timesteps, evenly spread, the first one included; None takes all. Weights must have
                been distilled for few steps to look right with fewer.
            window: latent frames of the rolling window; None takes the preset's.
            memory: latent frames remembered coarsely beyond the window, 0 for none; None takes the preset's.

        Raises:
            EngineError: the preset has fewer steps, window or memory do not fit its chunks, or both are too long.
        """
        have = self.stream.timesteps
        if steps is not None and not 1 <= steps <= len(have):
            raise EngineError(f"{self.name} has {len(have)} steps, not {steps}", f"take 1 to {len(have)}")
        taken = have if steps is None else tuple(have[i * len(have) // steps] for i in range(steps))
        stream = replace(
            self.stream,
            timesteps=taken,
            window=window or self.stream.window,
            memory=self.stream.memory if memory is None else memory,
        )
        if not fp8:
            return replace(self, stream=stream)
        return replace(self, dit=replace(self.dit, fp8=True), stream=replace(stream, fp8_cache=True))

    @property
    def pixel_step(self) -> int:
        """Height and width in pixels must be multiples of this."""
        return self.vae.spatial_factor * max(self.dit.patch_size[1:])

    def latent_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in latents; raises EngineError when the pixels do not divide."""
        step = self.pixel_step
        if height <= 0 or width <= 0 or height % step or width % step:
            nearest = [max(step, round(side / step) * step) for side in (height, width)]
            raise EngineError(
                f"{self.name} cannot draw {width}x{height}: both sides must be multiples of {step}",
                f"use {nearest[1]}x{nearest[0]}",
            )
        return height // self.vae.spatial_factor, width // self.vae.spatial_factor

    def tokens_per_frame(self, height: int, width: int) -> int:
        """Tokens of one latent frame of a picture of `height` x `width` pixels."""
        return prod(self.dit.grid(*self.latent_size(height, width)))


# fmt: off
_WAN21_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
    -0.1922, -0.9497, 0.2503, -0.2921,
)
_WAN21_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579,
    1.6382, 1.1253, 2.8251, 1.9160,
)
_WAN22_MEAN = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
    0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
    -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)
_WAN22_STD = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)
# fmt: on

WAN21_VAE = VAEConfig(
    z_dim=16,
    encoder_dim=96,
    decoder_dim=96,
    dim_mult=(1, 2, 4, 4),
    num_res_blocks=2,
    temporal_downsample=(False, True, True),
    patch_size=1,
    residual=False,
    latents_mean=_WAN21_MEAN,
    latents_std=_WAN21_STD,
)

WAN22_VAE = VAEConfig(
    z_dim=48,
    encoder_dim=160,
    decoder_dim=256,
    dim_mult=(1, 2, 4, 4),
    num_res_blocks=2,
    temporal_downsample=(False, True, True),
    patch_size=2,
    residual=True,
    latents_mean=_WAN22_MEAN,
    latents_std=_WAN22_STD,
)

FOUR_STEPS = StreamConfig(
    timesteps=(1000.0, 750.0, 500.0, 250.0),
    shift=5.0,
    solver=Solver.RENOISE,
    commit=Commit.CLEAN,
    chunk=1,
    sink=1,
    window=8,
    fps=24,
)
"""Four distilled steps that re-noise, then a clean pass."""

WAN22_5B = Preset(
    name="wan22-5b",
    dit=DiTConfig(
        dim=3072,
        num_heads=24,
        num_layers=30,
        ffn_dim=14336,
        in_channels=48,
        out_channels=48,
        patch_size=(1, 2, 2),
        freq_dim=256,
        text_dim=4096,
        text_len=512,
        audio=AudioConfig(
            feature_dim=768, window=8, hidden_dim=512, tokens=8, token_dim=768, blocks=tuple(range(0, 30, 3))
        ),
        cross_attn_norm=True,
        eps=1e-6,
        rope_theta=10_000.0,
        max_position=1024,
    ),
    vae=WAN22_VAE,
    stream=FOUR_STEPS,
    size=(704, 1280),
)

WAN21_1_3B = Preset(
    name="wan21-1.3b",
    dit=DiTConfig(
        dim=1536,
        num_heads=12,
        num_layers=30,
        ffn_dim=8960,
        in_channels=16,
        out_channels=16,
        patch_size=(1, 2, 2),
        freq_dim=256,
        text_dim=4096,
        text_len=512,
        audio=AudioConfig(
            feature_dim=768, window=8, hidden_dim=512, tokens=8, token_dim=768, blocks=tuple(range(0, 30, 2))
        ),
        cross_attn_norm=True,
        eps=1e-6,
        rope_theta=10_000.0,
        max_position=1024,
    ),
    vae=WAN21_VAE,
    stream=FOUR_STEPS,
    size=(480, 832),
)

WAN22_5B_LIGHT = replace(WAN22_5B, name="wan22-5b-light", vae=replace(WAN22_VAE, decoder_dim=64))
WAN21_1_3B_LIGHT = replace(WAN21_1_3B, name="wan21-1.3b-light", vae=replace(WAN21_VAE, decoder_dim=24))
"""With three of four channels of the decoder pruned, as published light decoders are: about a sixteenth of its
arithmetic, for one GPU that does both. The latents are the same, so that the transformer's weights are, too."""

S2V_14B = Preset(
    name="s2v-14b",
    dit=DiTConfig(
        dim=5120,
        num_heads=40,
        num_layers=40,
        ffn_dim=13824,
        in_channels=16,
        out_channels=16,
        patch_size=(1, 2, 2),
        freq_dim=256,
        text_dim=4096,
        text_len=512,
        audio=AudioConfig(
            feature_dim=1024,
            window=8,
            hidden_dim=1024,
            tokens=5,
            token_dim=5120,
            blocks=(0, 4, 8, 12, 16, 20, 24, 27, 30, 33, 36, 39),
        ),
        cross_attn_norm=True,
        eps=1e-6,
        rope_theta=10_000.0,
        max_position=1024,
    ),
    vae=WAN21_VAE,
    stream=replace(FOUR_STEPS, solver=Solver.EULER, commit=Commit.ALIGNED),
    size=(400, 720),
)

SPARK = Preset(
    name="spark",
    dit=DiTConfig(
        dim=512,
        num_heads=4,
        num_layers=12,
        ffn_dim=2048,
        in_channels=16,
        out_channels=16,
        patch_size=(1, 2, 2),
        freq_dim=256,
        text_dim=None,
        text_len=0,
        audio=AudioConfig(
            feature_dim=512, window=8, hidden_dim=256, tokens=8, token_dim=256, blocks=tuple(range(0, 12, 2))
        ),
        cross_attn_norm=True,
        eps=1e-6,
        rope_theta=10_000.0,
        max_position=1024,
    ),
    vae=VAEConfig(
        z_dim=16,
        encoder_dim=32,
        decoder_dim=48,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=1,
        temporal_downsample=(False, True, True),
        patch_size=2,
        residual=True,
        latents_mean=(0.0,) * 16,
        latents_std=(1.0,) * 16,
    ),
    stream=StreamConfig(
        timesteps=(1000.0, 500.0),
        shift=3.0,
        solver=Solver.RENOISE,
        commit=Commit.CLEAN,
        chunk=1,
        sink=1,
        window=6,
        fps=24,
    ),
    size=(256, 256),
)

TINY = Preset(
    name="tiny",
    dit=DiTConfig(
        dim=48,
        num_heads=2,
        num_layers=3,
        ffn_dim=80,
        in_channels=4,
        out_channels=4,
        patch_size=(1, 2, 2),
        freq_dim=32,
        text_dim=20,
        text_len=6,
        audio=AudioConfig(feature_dim=10, window=4, hidden_dim=16, tokens=3, token_dim=12, blocks=(0, 2)),
        cross_attn_norm=True,
        eps=1e-6,
        rope_theta=10_000.0,
        max_position=64,
    ),
    vae=VAEConfig(
        z_dim=4,
        encoder_dim=8,
        decoder_dim=12,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=1,
        temporal_downsample=(False, True, True),
        patch_size=2,
        residual=True,
        latents_mean=(0.1, -0.2, 0.3, 0.0),
        latents_std=(1.5, 0.8, 1.0, 2.0),
    ),
    stream=replace(SPARK.stream, window=3),
    size=(64, 64),
)

TINY_21 = Preset(
    name="tiny-21",
    dit=DiTConfig(
        dim=48,
        num_heads=2,
        num_layers=2,
        ffn_dim=64,
        in_channels=4,
        out_channels=4,
        patch_size=(1, 2, 2),
        freq_dim=32,
        text_dim=None,
        text_len=0,
        audio=None,
        cross_attn_norm=True,
        eps=1e-6,
        rope_theta=10_000.0,
        max_position=64,
    ),
    vae=VAEConfig(
        z_dim=4,
        encoder_dim=8,
        decoder_dim=8,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=2,
        temporal_downsample=(False, True, True),
        patch_size=1,
        residual=False,
        latents_mean=(0.0, 0.1, -0.1, 0.2),
        latents_std=(1.0, 2.0, 0.5, 1.0),
    ),
    stream=StreamConfig(
        timesteps=(1000.0, 600.0, 300.0),
        shift=1.0,
        solver=Solver.EULER,
        commit=Commit.ALIGNED,
        chunk=2,
        sink=1,
        window=4,
        fps=24,
    ),
    size=(32, 48),
)

PRESETS = {
    preset.name: preset
    for preset in (WAN22_5B, WAN22_5B_LIGHT, WAN21_1_3B, WAN21_1_3B_LIGHT, S2V_14B, SPARK, TINY, TINY_21)
}
"""Every preset by its name. `spark` may still change with its training; the tiny ones are for tests."""


def preset(name: str) -> Preset:
    """The preset of this name; raises EngineError that lists them when there is none."""
    if name not in PRESETS:
        raise EngineError(f"there is no engine preset {name!r}", f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
