"""What a recipe may say about the video engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from animacy.core.errors import AnimacyError
from animacy.core.provider import Settings
from animacy.engine.address import Address
from animacy.engine.config import PRESETS
from animacy.engine.serve import EngineOptions
from animacy.engine.spread import SPREADS

Device = Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]


class VideoEngineSettings(Settings):
    """Settings of the `video_engine` renderer: an engine to start, or the address of one that runs."""

    preset: str = Field("spark", description="Model, and how it streams", json_schema_extra={"enum": list(PRESETS)})
    weights: str | None = Field(
        None, min_length=1, description="Folder with `transformer` and `vae`; none draws noise, for trying out"
    )
    devices: tuple[Device, ...] = Field(
        ("auto",),
        min_length=1,
        max_length=max(SPREADS),
        description="Of all, or of each part of the transformer and then of the decoder",
    )
    size: tuple[int, int] | None = Field(
        None, description="Width and height that the engine draws; the preset's when left out"
    )
    fp8: bool = Field(False, description="Matrix products of the transformer in FP8: faster, a little less precise")
    steps: int | None = Field(None, ge=1, description="Denoising steps, at most the preset's; fewer are faster")
    window: int | None = Field(
        None, ge=1, description="Latent frames that are looked back at; the preset's if left out"
    )
    memory: int | None = Field(
        None, ge=0, description="Latent frames before those that are remembered coarsely; the preset's if left out"
    )
    address: str | None = Field(
        None, min_length=1, description="Of an engine that runs: a Unix socket's path, or 127.0.0.1:PORT"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Same seed and same speech, same video")

    @field_validator("address")
    @classmethod
    def _on_this_machine(cls, address: str | None) -> str | None:
        if address is not None:
            _checked(lambda: Address.parse(address))
        return address

    @model_validator(mode="after")
    def _can_be_drawn(self) -> VideoEngineSettings:
        given = (
            EngineOptions.__dataclass_fields__.keys() & VideoEngineSettings.model_fields.keys()
        ) & self.model_fields_set
        if self.address is not None and given:
            raise ValueError(f"`address` is of an engine that was started with its own {', '.join(sorted(given))}")
        _checked(self.options(1, Path()).resolve)
        return self

    def options(self, capacity: int, folder: Path) -> EngineOptions:
        """What to start, for so many characters; paths begin at `folder`."""
        weights = None if self.weights is None else str(folder / Path(self.weights).expanduser())
        return EngineOptions(
            preset=self.preset,
            weights=weights,
            devices=self.devices,
            size=self.size,
            capacity=capacity,
            fp8=self.fp8,
            steps=self.steps,
            window=self.window,
            memory=self.memory,
        )


def _checked(check: Callable[[], object]) -> None:
    """Pydantic adds field and place to a ValueError."""
    try:
        check()
    except AnimacyError as error:
        raise ValueError(f"{error.args[0]}; {error.remedy}") from error
