"""The networks: one causal video transformer and one causal video autoencoder for all presets."""

from __future__ import annotations

from animacy.engine.models.dit import VideoDiT
from animacy.engine.models.vae import VideoVAE

__all__ = ["VideoDiT", "VideoVAE"]
