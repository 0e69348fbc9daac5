"""Sound to be heard by a plugin."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pipecat.frames.frames import InputAudioRawFrame

BYTES = 2
"""A sample, mono 16-bit."""
QUIET = 400
"""Below this no voice is heard."""


def silence(seconds: float, rate: int) -> bytes:
    """No sound at all."""
    return bytes(BYTES * round(seconds * rate))


def trimmed(pcm: bytes) -> bytes:
    """The sound without the quiet before and after it."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > QUIET)
    return pcm[BYTES * loud[0] : BYTES * (loud[-1] + 1)] if len(loud) else pcm


def microphone(pcm: bytes, rate: int, each: float = 0.02) -> Iterator[InputAudioRawFrame]:
    """The sound in frames of `each` seconds, as a transport sends them."""
    step = BYTES * round(each * rate)
    for start in range(0, len(pcm), step):
        yield InputAudioRawFrame(pcm[start : start + step], rate, 1)
