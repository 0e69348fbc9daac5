"""The renderer through the kit that every plugin is held to, on the real engine."""

from __future__ import annotations

import pytest

from animacy.core.video.contract import VideoFormat
from animacy.testing import Material, check


@pytest.mark.filterwarnings("ignore:the engine runs preset tiny with random weights")
def test_it_does_what_renderers_do(engine, plugins):
    material = Material(video=VideoFormat(160, 120, 24, 24_000))
    report = check("video", "video_engine", {"preset": "tiny", "devices": ["cpu"]}, plugins, material=material)
    report.raise_if_failed()
