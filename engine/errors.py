"""Errors of the engine that a user can mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from animacy.core.errors import AnimacyError, ModelError


class EngineError(AnimacyError):
    """The engine was asked for something that it cannot do; the remedy says what it can."""


class EngineGoneError(EngineError):
    """The engine process has ended, or was never there."""


class WeightsError(ModelError):
    """A weights file does not hold what the model needs."""


@contextmanager
def needing_torch() -> Iterator[None]:
    """Says how to install PyTorch where something that is imported within needs it and it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise EngineError("the GPU engine needs PyTorch", "pip install 'animacy[engine]'") from error
