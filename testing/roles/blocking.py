"""What the roles have in common that block in a worker thread: vision, embedding, knowledge."""

from __future__ import annotations

from typing import Any

from animacy.testing.bench import Bench


async def load(bench: Bench, product: Any) -> None:
    """In the worker thread, as core does."""
    await bench.blocking(product.load)


async def close(bench: Bench, product: Any) -> None:
    """As before."""
    await bench.blocking(product.close)
