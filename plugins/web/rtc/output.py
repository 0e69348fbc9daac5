"""The output end over a peer connection: chunks to the playout, everything else said over the data channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    OutputTransportReadyFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.pipeline.frames import CharacterChunkFrame, FlushFrame
from animacy.plugins.web.narration import Narrator
from animacy.plugins.web.rtc.playout import Playout


class RtcStage(FrameProcessor):
    """Gives chunks to a playout as soon as `connected` is set; they are refused before, for nobody would see them."""

    def __init__(
        self, playout: Playout, narrator: Narrator, connected: asyncio.Event, tell: Callable[[dict[str, Any]], object]
    ) -> None:
        super().__init__()
        self._playout, self._narrator, self._connected, self._tell = playout, narrator, connected, tell
        self._waiting: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take chunks and messages; everything else passes."""
        await super().process_frame(frame, direction)
        if isinstance(frame, CharacterChunkFrame):
            if frame.chunk is not None:
                self._narrator.left(frame.chunk)
                self._playout.put(frame.chunk)
            return
        if isinstance(frame, OutputTransportMessageFrame | OutputTransportMessageUrgentFrame):
            self._tell(frame.message)
            return
        if isinstance(frame, FlushFrame):
            self._playout.flush(frame.turn, frame.at_index)
        self._narrator.notice(frame)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame) and self._waiting is None:
            self._waiting = self.create_task(self._begin(), "rtc connected")
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop()

    async def cleanup(self) -> None:
        """Wait for nobody any more."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self._stop()

    async def _begin(self) -> None:
        await self._connected.wait()
        await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    async def _stop(self) -> None:
        task, self._waiting = self._waiting, None
        if task is not None:
            await self.cancel_task(task)
