"""The order of the pipeline, and nothing else knows it.

transport.input -> stt -> user aggregator (VAD + smart turn) -> llm -> tts -> CharacterVideoProcessor(renderer)
-> transport.output -> assistant aggregator. The vision sampler will stand before stt, knowledge before llm.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from animacy.core.pipeline.processor import CharacterVideoProcessor
from animacy.core.pipeline.transport import Transport
from animacy.core.recipe import TurnTaking


@dataclass(frozen=True, slots=True)
class Parts:
    """What a recipe's plugins made."""

    transport: Transport
    stt: FrameProcessor
    llm: FrameProcessor
    tts: FrameProcessor
    video: CharacterVideoProcessor


def build_pipeline(parts: Parts, turn_taking: TurnTaking, context: LLMContext) -> Pipeline:
    """Wire the parts. `context` collects the conversation, the persona belongs to the llm plugin."""
    aggregators = LLMContextAggregatorPair(context, user_params=_user_params(turn_taking))
    return Pipeline(
        [
            parts.transport.input(),
            parts.stt,
            aggregators.user(),
            parts.llm,
            parts.tts,
            parts.video,
            parts.transport.output(),
            aggregators.assistant(),
        ]
    )


def _user_params(turn_taking: TurnTaking) -> LLMUserAggregatorParams:
    analyzer = LocalSmartTurnAnalyzerV3(params=SmartTurnParams(stop_secs=turn_taking.longest_pause))
    return LLMUserAggregatorParams(
        vad_analyzer=SileroVADAnalyzer(
            params=VADParams(
                confidence=turn_taking.confidence, start_secs=turn_taking.start, stop_secs=turn_taking.pause
            )
        ),
        user_turn_strategies=UserTurnStrategies(
            start=[VADUserTurnStartStrategy()], stop=[TurnAnalyzerUserTurnStopStrategy(turn_analyzer=analyzer)]
        ),
        empty_user_turn=None,
    )
