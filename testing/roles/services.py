"""What the three kinds of Pipecat services have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import DataFrame, SystemFrame

from animacy.core.pipeline.fallback.switch import Relieved
from animacy.core.pipeline.loading import Loadable
from animacy.testing.bench import Bench
from animacy.testing.rule import Check, NotJudgedError, expect
from animacy.testing.stage import Stage, on_stage

PASS_SECONDS = 3.0

Turn = Callable[[Bench, Stage], Awaitable[object]]
"""A turn of a conversation on a stage; raises BrokenError when nothing comes of it."""


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


def comes_back(turn: Turn) -> Check:
    """The rule for services that want to know when another of the recipe's list does their work; `turn` is some."""

    async def check(bench: Bench) -> str | None:
        async with bench.loaded() as product:
            service: Any = product
            if not isinstance(service, Relieved):
                raise NotJudgedError("it has no stand_by and take_over: it stays ready while another does its work")
            async with on_stage(bench.character, product) as stage:
                await service.stand_by()
                await service.take_over()
                await turn(bench, stage)
                stage.expect_no_errors()
        return None

    return check


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
