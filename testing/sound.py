"""Sound to be heard by a plugin."""

from __future__ import annotations

from collections.abc import Iterator

from pipecat.frames.frames import InputAudioRawFrame

BYTES = 2
"""A sample, mono 16-bit."""


def silence(seconds: float, rate: int) -> bytes:
    """No sound at all."""
    return bytes(BYTES * round(seconds * rate))


def seconds_of(pcm: bytes, rate: int) -> float:
    """How long it takes to be heard."""
    return len(pcm) / BYTES / rate


def microphone(pcm: bytes, rate: int, each: float = 0.02) -> Iterator[InputAudioRawFrame]:
    """The sound in frames of `each` seconds, as a transport sends them."""
    step = BYTES * round(each * rate)
    for start in range(0, len(pcm), step):
        yield InputAudioRawFrame(pcm[start : start + step], rate, 1)
