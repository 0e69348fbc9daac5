"""What plugins are tried with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from animacy.core.video.contract import Portrait, VideoFormat

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Material:
    """What a plugin hears, draws and is asked to do. Everything has a default.

    Parameters:
        speech: a recording of somebody who says a few words, any format that FFmpeg reads.
        portrait: what a renderer draws, and a perception looks at.
        video: what a renderer draws it as; small, so that a slow machine keeps up.
        calls: arguments by tool name. A tool without is called with its first example, and not at all if it has none:
            nobody knows what made-up arguments would do.
    """

    speech: Path = DATA / "speech.flac"
    portrait: Portrait = field(default_factory=lambda: Portrait(DATA / "portrait.jpg"))
    video: VideoFormat = field(default_factory=lambda: VideoFormat(320, 240, 24, 24_000))
    calls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
