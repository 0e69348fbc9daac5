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
USUAL_MILLISECONDS = 120
"""From the sound's leaving the loudspeaker to its echo's arrival here: where the canceller begins to look for it."""
LEAD_SECONDS = 0.05
"""The canceller is told of a sound so much before it is heard: it finds a delay by itself, but never a lead."""
LONGEST_SECONDS = 3.0
"""What is kept of the character's sound while no microphone asks for it."""
BLOCKS_PER_LOOK = 100
"""Once a second it is looked at how much of the character's sound waits at least."""
CUSHION = RATE * BYTES_PER_SAMPLE * 6 // 100
"""So many bytes should wait at the least: a gap torn into the sound costs the canceller more than a little delay."""

FAR_OFF = RATE * BYTES_PER_SAMPLE // 4
"""So many bytes from where it should be, it is moved in the middle of a word."""


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
        self._waiting = 0  # the least that waited since the last look, in bytes
        self._looks = 0

    def hear_character(self, pcm: bytes) -> None:
        """The character's sound, without gaps, as it leaves (mono int16)."""
        self._reference += self._resampler.resample_chunk(np.frombuffer(pcm, np.int16)).tobytes()
        del self._reference[: max(0, len(self._reference) - int(LONGEST_SECONDS * RATE) * BYTES_PER_SAMPLE)]

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
            self._module.set_stream_delay_ms(USUAL_MILLISECONDS)
            self._module.process_stream(near)
            out += bytes(near.data)
        return bytes(out)

    def _next_reference(self, size: int) -> bytes:
        """What is heard of the character at the moment at which the microphone heard its next block."""
        self._waiting = min(self._waiting, len(self._reference)) if self._looks else len(self._reference)
        if self._looks % BLOCKS_PER_LOOK == 0:
            self._align()
        self._looks += 1
        block = bytes(self._reference[:size])
        del self._reference[:size]
        return block.ljust(size, b"\0")

    def _align(self) -> None:
        """The sound comes in slots of a frame, the microphone's at its own pace: mind the least that waited."""
        wanted = max(CUSHION, int((self._playout_delay() - LEAD_SECONDS) * RATE) * BYTES_PER_SAMPLE)
        excess = self._waiting - wanted
        # While it speaks, a step costs more than it mends.
        if not self._looks or abs(excess) > FAR_OFF or not any(self._reference):
            if excess > CUSHION // 2:
                del self._reference[:excess]
            elif excess < -CUSHION // 2:
                self._reference[:0] = bytes(-excess)
        self._waiting = len(self._reference)


def _module() -> AudioProcessingModule:
    try:
        from livekit.rtc.apm import AudioProcessingModule
    except ImportError as error:
        raise PluginError(
            'echo cancellation ("turn_taking.echo: apm") needs the livekit package',
            "Install it: pip install 'animacy[echo]'",
        ) from error
    return AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)
