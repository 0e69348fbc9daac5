"""Reading `manifest.toml`: the models that come inside PyPI packages."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, Field


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Wheel(_Entry):
    """One file on the package index. `size` in bytes."""

    package: str
    version: str
    size: int
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ModelFile(_Entry):
    """One file of a model: its parts ("package:path in the wheel") put one after the other. `size` in bytes."""

    name: str
    size: int
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    parts: tuple[str, ...]


class Entry(_Entry):
    """One model of the manifest."""

    name: str
    kind: str
    licence: str
    origin: str
    summary: str
    wheels: tuple[Wheel, ...]
    files: tuple[ModelFile, ...]


@cache
def manifest() -> dict[str, Entry]:
    """Every packaged model by name, in the order of the file."""
    text = resources.files("animacy.core.models").joinpath("manifest.toml").read_text("utf-8")
    entries = [Entry.model_validate(item) for item in tomllib.loads(text)["model"]]
    return {entry.name: entry for entry in entries}
