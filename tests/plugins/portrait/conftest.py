"""A small frame and a short way to frames, sound and measurements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from animacy.core.video.contract import Portrait, RenderedChunk, VideoFormat
from animacy.plugins.portrait import video_providers
from animacy.plugins.portrait.landmarks import FaceLandmarker
from animacy.plugins.portrait.models import face_model

PICTURE = Path(__file__).resolve().parents[3] / "recipes/juno/image.png"
FORMAT = VideoFormat(640, 360, 24, 24_000)


class Stage:
    """A started renderer and its frames."""

    def __init__(self, renderer) -> None:
        self.renderer = renderer
        self.chunks: AsyncIterator[RenderedChunk] = aiter(renderer)

    async def play(self, count: int) -> list[RenderedChunk]:
        return [await anext(self.chunks) for _ in range(count)]


def make_renderer(**settings):
    provider = video_providers()
    return provider.create(provider.settings(**settings), None)


@pytest.fixture
async def stage():
    renderer = make_renderer(motion=0.3)
    await renderer.start(Portrait(PICTURE), FORMAT)
    yield Stage(renderer)
    await renderer.close()


class Meter:
    """Measures faces in output frames."""

    def __init__(self) -> None:
        self._find = FaceLandmarker(face_model().ensure()).find

    def face(self, chunk: RenderedChunk):
        face = self._find(chunk.frames[0])
        assert face is not None
        return face

    def lips(self, chunk: RenderedChunk) -> float:
        """Distance of the inner lips, in mouth widths."""
        p = self.face(chunk).points
        gaps = [np.linalg.norm(p[a, :2] - p[b, :2]) for a, b in ((13, 14), (82, 87), (312, 317))]
        return float(np.mean(gaps) / np.linalg.norm(p[61, :2] - p[291, :2]))

    def blink(self, chunk: RenderedChunk) -> float:
        shapes = self.face(chunk).blendshapes
        return (shapes["eyeBlinkLeft"] + shapes["eyeBlinkRight"]) / 2


@pytest.fixture(scope="session")
def meter() -> Meter:
    return Meter()
