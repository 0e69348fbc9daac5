"""Pipecat's strategies of a user's turn, as far as ours differ."""

from __future__ import annotations

from pipecat.frames.frames import Frame
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy

from animacy.core.pipeline.frames import UserTurnFrame


class GateTurnStart(BaseUserTurnStartStrategy):
    """The user's turn begins when the TurnGate says so."""

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Wait for the gate's word."""
        if isinstance(frame, UserTurnFrame):
            await self.trigger_user_turn_started()
            return ProcessFrameResult.STOP
        return ProcessFrameResult.CONTINUE


class SmartTurnStop(TurnAnalyzerUserTurnStopStrategy):
    """Ends a turn that may have begun late.

    While it is not clear whether a sound is an interruption, the end of the voice is found already. When the turn then
    begins, that is not forgotten; otherwise a short "stop!" would wait for a second in vain.
    """

    async def handle_user_turn_started(self) -> None:
        """Keep what the voice showed; it was cleared when the turn before ended, and again when the voice began."""
