"""Speech at another rate than the voice's own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr

from animacy.plugins.kokoro.kept import Speech
from animacy.plugins.kokoro.network import SAMPLE_RATE


def resampled(pieces: Iterator[Speech], rate: int) -> Iterator[Speech]:
    """The same speech at `rate` Hz, seamless across pieces; the times of the mouth stay as they are."""
    if rate == SAMPLE_RATE:
        yield from pieces
        return
    stream = soxr.ResampleStream(SAMPLE_RATE, rate, 1, dtype="int16")
    for piece in pieces:
        yield Speech(stream.resample_chunk(np.frombuffer(piece.pcm, np.int16)).tobytes(), piece.visemes)
    rest = stream.resample_chunk(np.zeros(0, np.int16), last=True)
    if len(rest):
        yield Speech(rest.tobytes())
