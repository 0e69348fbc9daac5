"""diffusers' own networks in the shape of a preset and with the weights of ours.

What our transformer has beyond theirs, the attention to speech, is left out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from animacy.engine.config import DiTConfig, VAEConfig
from animacy.engine.errors import EngineError
from animacy.engine.layouts import Layout
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.weights import export


def dit_like(config: DiTConfig) -> Any:
    """A `WanTransformer3DModel` of the shape of `config`; raises EngineError for one without text."""
    if config.text_dim is None:
        raise EngineError("diffusers' transformer reads a prompt, this preset does not", "compare a preset with text")
    return _diffusers().WanTransformer3DModel(
        patch_size=config.patch_size,
        num_attention_heads=config.num_heads,
        attention_head_dim=config.head_dim,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        text_dim=config.text_dim,
        freq_dim=config.freq_dim,
        ffn_dim=config.ffn_dim,
        num_layers=config.num_layers,
        cross_attn_norm=config.cross_attn_norm,
        eps=config.eps,
        rope_max_seq_len=config.max_position,
    )


def vae_like(config: VAEConfig) -> Any:
    """An `AutoencoderKLWan` of the shape of `config`."""
    channels = 3 * config.patch_size**2
    return _diffusers().AutoencoderKLWan(
        base_dim=config.encoder_dim,
        decoder_base_dim=config.decoder_dim,
        z_dim=config.z_dim,
        dim_mult=list(config.dim_mult),
        num_res_blocks=config.num_res_blocks,
        temperal_downsample=list(config.temporal_downsample),
        latents_mean=list(config.latents_mean),
        latents_std=list(config.latents_std),
        is_residual=config.residual,
        in_channels=channels,
        out_channels=channels,
        patch_size=config.patch_size if config.patch_size > 1 else None,
        scale_factor_spatial=config.spatial_factor,
    )


def their_dit(ours: VideoDiT) -> Any:
    """Their transformer with the weights of ours, where ours are and in its precision, ready for inference."""
    with torch.device("meta"):
        theirs = dit_like(ours.config)
    # Its tables of angles are no weights, so they are computed again where they are wanted.
    theirs.rope = type(theirs.rope)(ours.config.head_dim, ours.config.patch_size, ours.config.max_position)
    theirs.rope.to(ours.device)
    return _filled(theirs, ours, ours.dtype)


def their_vae(ours: VideoVAE) -> Any:
    """Their autoencoder with the weights of ours, where ours are and in its precision, ready for inference."""
    with torch.device("meta"):
        theirs = vae_like(ours.config)
    return _filled(theirs, ours, ours.dtype)


def _filled(theirs: Any, ours: nn.Module, dtype: torch.dtype) -> Any:
    """Give theirs copies of our weights, in float32 where diffusers' loading keeps it."""
    exact = set(theirs._keep_in_fp32_modules or ())
    weights = export(ours, Layout.DIFFUSERS)
    wanted = {
        name: weights[name].to(torch.float32 if exact & set(name.split(".")) else dtype) for name in theirs.state_dict()
    }
    theirs.load_state_dict(wanted, assign=True)
    return theirs.eval().requires_grad_(False)


def _diffusers() -> Any:
    try:
        import diffusers
    except ModuleNotFoundError as error:
        raise EngineError("diffusers is not installed", "pip install 'animacy[engine-test]'") from error
    return diffusers
