"""Whether a provider can be used on this machine, told without importing what it needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from packaging.requirements import Requirement
from pydantic import ValidationError

from animacy.core.errors import AnimacyError
from animacy.core.models import Model
from animacy.core.models.progress import megabytes
from animacy.core.provider import Provider


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a provider lacks here: what it is called, and how one gets it."""

    kind: Literal["package", "key", "model"]
    name: str
    remedy: str


def needs(provider: Provider, distribution: str | None) -> list[Need]:
    """What it lacks with its default settings; of settings without a default, nothing is known before a recipe.

    `distribution` is the installed package it comes from, whose extra it may name; None for one that was registered
    by hand.
    """
    return [*_packages(provider, distribution), *_keys(provider), *_models(provider)]


def _packages(provider: Provider, distribution: str | None) -> Iterator[Need]:
    if provider.extra is None or distribution is None:
        return
    whole = f"{distribution}[{provider.extra}]"
    if provider.extra not in (metadata.metadata(distribution).get_all("Provides-Extra") or ()):
        # An editable install knows the extras that there were when it was made.
        yield Need("package", whole, f"pip install '{whole}'")
    for requirement in _required(distribution, provider.extra):
        if not _installed(requirement):
            yield Need("package", f"{requirement.name}{requirement.specifier}", f"pip install '{whole}'")


def _required(distribution: str, extra: str) -> Iterator[Requirement]:
    """What an extra adds to what its distribution requires anyway."""
    for text in metadata.requires(distribution) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            yield requirement


def _installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _keys(provider: Provider) -> Iterator[Need]:
    for variable in provider.keys:
        if not os.environ.get(variable):
            yield Need("key", variable, f"set it, and name it in the recipe: ${{env:{variable}}}")


def _models(provider: Provider) -> Iterator[Need]:
    try:
        models = provider.models(provider.settings())
    except ValidationError:
        return
    except Exception as error:  # a third party's code may fail in any way
        yield Need("model", "a model", f"{type(error).__name__}: {error}")
        return
    for model in models:
        yield from _model(model)


def _model(model: Model) -> Iterator[Need]:
    try:
        if not model.present():
            size = f", {megabytes(model.download_size)}" if model.download_size else ""
            yield Need("model", model.name, f"it is fetched when it is first used{size}")
    except AnimacyError as error:
        yield Need("model", model.name, str(error))
