"""What a recipe may say about the portrait renderer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from animacy.core.provider import Settings


class PortraitSettings(Settings):
    """Settings of the `portrait` renderer. All are optional: the picture decides."""

    zoom: float = Field(1.0, ge=0.5, le=3.0, description="Scale in the frame; 1 is chosen by the face")
    motion: float = Field(1.0, ge=0.0, le=2.0, description="How much the head moves")
    mouth_open: float = Field(1.0, ge=0.2, le=2.5, description="How far the mouth opens")
    eye_size: float | None = Field(
        None, gt=0.02, le=1.0, description="With anchors: an eye's width as a share of the distance between the eyes"
    )
    blink: bool = Field(True, description="Whether the eyes blink")
    teeth: Literal["auto", "natural", "simple", "none"] = Field("auto", description="What shows in the open mouth")
    seed: int = Field(0, ge=0, description="Same seed, same idle motion")
