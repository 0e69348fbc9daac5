"""When a service of a recipe's list fails, the next one does its work, and finishes what was under way."""

from animacy.core.pipeline.fallback.services import service_of

__all__ = ["service_of"]
