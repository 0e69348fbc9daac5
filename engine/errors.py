"""Errors of the engine that a user can mend."""

from __future__ import annotations

from animacy.core.errors import AnimacyError, ModelError


class EngineError(AnimacyError):
    """The engine was asked for something that it cannot do; the remedy says what it can."""


class EngineGoneError(EngineError):
    """The engine process has ended, or was never there."""


class WeightsError(ModelError):
    """A weights file does not hold what the model needs."""
