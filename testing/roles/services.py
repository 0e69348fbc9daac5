"""What the three kinds of Pipecat services have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import DataFrame, SystemFrame

from animacy.core.pipeline.loading import Loadable
from animacy.testing.bench import Bench
from animacy.testing.rule import expect
from animacy.testing.stage import on_stage

PASS_SECONDS = 3.0


@dataclass
class OthersFrame(DataFrame):
    """Something that is none of the service's business."""


@dataclass
class OthersSystemFrame(SystemFrame):
    """The same, ahead of everything."""


async def load(bench: Bench, product: Any) -> None:
    """As before a conversation."""
    if isinstance(product, Loadable):
        await product.load()


async def close(bench: Bench, product: Any) -> None:
    """As when it never ran; Pipecat does the same after it ran."""
    await product.cleanup()


async def passes_on(bench: Bench) -> str | None:
    """The pipeline is a chain: what one link swallows, no other sees."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await stage.send(OthersFrame(), OthersSystemFrame())
        await stage.send_up(OthersFrame(), OthersSystemFrame())
        sent = {(kind, up) for kind in (OthersFrame, OthersSystemFrame) for up in (False, True)}
        await stage.until(lambda: sent <= {(type(seen.frame), seen.up) for seen in stage.seen}, PASS_SECONDS)
        for kind, up in sent - {(type(seen.frame), seen.up) for seen in stage.seen}:
            expect(False, f"a {kind.__mro__[1].__name__} of others does not go through {'up' if up else 'down'}stream")
        stage.expect_no_errors()
    return None
