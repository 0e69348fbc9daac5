"""Echo cancellation on our side: takes the character's own sound out of the microphone, with WebRTC's APM.

For clients that cannot do it themselves; browsers do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import soxr
from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.errors import PluginError

if TYPE_CHECKING:
    from livekit.rtc.apm import AudioProcessingModule

RATE = 16_000
"""Rate in Hz at which echoes are looked for."""
BLOCK = RATE // 100
"""Samples that the canceller takes at a time."""
BYTES_PER_SAMPLE = 2
SLACK_SECONDS = 0.12
"""How far the reference may be off before it is moved; smaller delays the canceller finds itself."""


class EchoCanceller(FrameProcessor):
    """Stands between the input and the stt. Silence of the character passes unchanged, but for a block of delay.

    Parameters:
        voice_rate: rate of the character's sound in Hz.
        playout_delay: seconds from its leaving until it is heard.

    Raises PluginError when the `livekit` package is missing.
    """

    def __init__(self, voice_rate: int, playout_delay: Callable[[], float]) -> None:
        super().__init__()
        self._module = _module()
        self._playout_delay = playout_delay
        self._resampler = soxr.ResampleStream(voice_rate, RATE, 1, dtype="int16")
        self._reference = bytearray()
        self._microphone = bytearray()

    def hear_character(self, pcm: bytes) -> None:
        """The character's sound, without gaps, as it leaves (mono int16)."""
        self._reference += self._resampler.resample_chunk(np.frombuffer(pcm, np.int16)).tobytes()
        longest = self._wanted() + 2 * int(SLACK_SECONDS * RATE) * BYTES_PER_SAMPLE
        if len(self._reference) > longest:  # no microphone for a while
            del self._reference[: len(self._reference) - self._wanted()]

    def forget(self) -> None:
        """What has left and was not heard will not be: the client was told to drop it."""
        self._reference[:] = bytes(len(self._reference))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Clean what the microphone hears."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputAudioRawFrame):
            await self.push_frame(frame, direction)
            return
        if frame.sample_rate != RATE or frame.num_channels != 1:
            raise ValueError(f"echo cancellation takes mono audio at {RATE} Hz, not {frame}")
        if audio := self.clean(frame.audio):
            await self.push_frame(InputAudioRawFrame(audio=audio, sample_rate=RATE, num_channels=1), direction)

    def clean(self, audio: bytes) -> bytes:
        """Audio of the microphone without the character's, in whole blocks: what is left over comes with the next."""
        from livekit.rtc import AudioFrame

        self._microphone += audio
        size = BLOCK * BYTES_PER_SAMPLE
        out = bytearray()
        while len(self._microphone) >= size:
            block = bytearray(self._microphone[:size])
            del self._microphone[:size]
            self._module.process_reverse_stream(AudioFrame(bytearray(self._next_reference(size)), RATE, 1, BLOCK))
            near = AudioFrame(block, RATE, 1, BLOCK)
            self._module.process_stream(near)
            out += bytes(near.data)
        return bytes(out)

    def _next_reference(self, size: int) -> bytes:
        """What is heard of the character at the moment at which the microphone heard its next block."""
        slack = int(SLACK_SECONDS * RATE) * BYTES_PER_SAMPLE
        wanted = self._wanted()
        if len(self._reference) < wanted - slack:
            self._reference[:0] = bytes(wanted - len(self._reference))
        elif len(self._reference) > wanted + slack:
            del self._reference[: len(self._reference) - wanted]
        block = bytes(self._reference[:size])
        del self._reference[:size]
        return block.ljust(size, b"\0")

    def _wanted(self) -> int:
        return int(self._playout_delay() * RATE) * BYTES_PER_SAMPLE


def _module() -> AudioProcessingModule:
    try:
        from livekit.rtc.apm import AudioProcessingModule
    except ImportError as error:
        raise PluginError(
            'echo cancellation ("turn_taking.echo: apm") needs the livekit package',
            "Install it: pip install 'animacy[echo]'",
        ) from error
    return AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)
