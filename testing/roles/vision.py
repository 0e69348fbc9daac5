"""What the character sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from animacy.core.vision.contract import Look, Perception, PictureSource
from animacy.core.vision.facts import Facts
from animacy.testing.bench import Bench
from animacy.testing.roles.blocking import close, load
from animacy.testing.rule import Rule, Suite, expect

SOURCES: tuple[PictureSource, ...] = ("camera", "screen")
SIZES = ((64, 64), (720, 1280), (40, 600), (480, 2))
"""Height and width of pictures that show nothing: windows are of any shape."""
LONGEST_SUMMARY = 1000
"""Characters. It is read by the language model before every answer."""


async def looks(bench: Bench) -> str | None:
    """What is seen in words, of a camera and of a screen, and the picture stays as it was."""
    picture = await bench.picture()
    before = picture.copy()
    told = ""
    for source in SOURCES:
        look = await bench.blocking(bench.product.look, picture, source)
        _hold(look, source)
        told = told or look.summary
    expect(np.array_equal(picture, before), "it draws into the picture, which others show")
    return told


async def sees_nothing(bench: Bench) -> str | None:
    """Covered cameras and empty windows are no errors."""
    for height, width in SIZES:
        for grey in (0, 255):
            look = await bench.blocking(bench.product.look, np.full((height, width, 3), grey, np.uint8), "camera")
            _hold(look, "camera")
    return f"{look.summary}"


async def comes_back(bench: Bench) -> str | None:
    """Models are freed while nobody shares a picture, and are back when somebody does."""
    perception = bench.make()
    try:
        await load(bench, perception)
        await load(bench, perception)
        await close(bench, perception)
        await close(bench, perception)
        _hold(await bench.blocking(perception.look, await bench.picture(), "camera"), "camera")
    finally:
        await close(bench, perception)
    return None


def _hold(look: Any, source: PictureSource) -> None:
    expect(isinstance(look, Look), f"look returns a {type(look).__name__}, not a Look")
    expect(look.source == source, f"a look at the {source} says that it is of the {look.source}")
    expect(isinstance(look.summary, str) and look.summary.strip(), "a look has no summary")
    expect(len(look.summary) <= LONGEST_SUMMARY, f"a summary of {len(look.summary)} characters is none")
    expect(isinstance(look.details, tuple) and all(isinstance(line, str) for line in look.details), NO_LINES)
    expect(isinstance(look.facts, Facts), "its facts are no animacy.core.vision.facts.Facts")
    expect(look.seconds >= 0, "a look took less than no time")


NO_LINES = "its details are no tuple of texts"


SUITE = Suite(
    Perception,
    "an animacy.core.vision.contract.Perception",
    load,
    close,
    (
        Rule("tells what is there", looks),
        Rule("sees nothing where nothing is", sees_nothing),
        Rule("comes back after it was closed", comes_back),
    ),
)
