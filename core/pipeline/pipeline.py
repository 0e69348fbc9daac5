"""The order of the pipeline, and nothing else knows it.

transport.input -> [echo canceller] -> stt -> turn gate -> user aggregator (VAD + smart turn)
-> [grounding: knowledge, vision] -> llm (+ tools) -> tts
-> CharacterVideoProcessor(renderer) -> transport.output -> assistant aggregator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from animacy.core.pipeline.echo import EchoCanceller
from animacy.core.pipeline.grounding import Grounding, Source
from animacy.core.pipeline.processor import CharacterVideoProcessor
from animacy.core.pipeline.transport import Transport
from animacy.core.pipeline.turns.backchannels import backchannels, phrases_of
from animacy.core.pipeline.turns.gate import PipelineEnd, TurnGate
from animacy.core.pipeline.turns.silence import break_silences
from animacy.core.pipeline.turns.strategies import GateTurnStart, SmartTurnStop
from animacy.core.recipe import TurnTaking
from animacy.core.tools.pipecat import ToolBridge


@dataclass(frozen=True, slots=True)
class Parts:
    """What a recipe's plugins made."""

    transport: Transport
    stt: FrameProcessor
    llm: FrameProcessor
    tts: FrameProcessor
    video: CharacterVideoProcessor
    sources: Sequence[Source] = ()
    tools: ToolBridge | None = None


def build_pipeline(parts: Parts, turn_taking: TurnTaking, context: LLMContext, *, language: str = "en-US") -> Pipeline:
    """Wire the parts. `context` collects the conversation, the persona belongs to the llm plugin.

    Raises PluginError when the recipe wants echoes cancelled and the package for it is missing.
    """
    aggregators = LLMContextAggregatorPair(context, user_params=_user_params(turn_taking))
    parts.video.heard_through(parts.transport)
    if parts.tools is not None:
        for llm in getattr(parts.llm, "services", [parts.llm]):
            parts.tools.connect(llm, context)
    ears: list[FrameProcessor] = [parts.stt, _gate(turn_taking, language, parts.video)]
    if turn_taking.echo == "apm":
        canceller = EchoCanceller(parts.video.sample_rate, lambda: parts.transport.playout_delay)
        parts.video.heard_by(canceller)
        ears.insert(0, canceller)
    if turn_taking.idle.seconds:
        break_silences(aggregators.user(), turn_taking.idle)
    return Pipeline(
        [
            parts.transport.input(),
            *ears,
            aggregators.user(),
            *([Grounding(parts.sources)] if parts.sources else []),
            parts.llm,
            parts.tts,
            parts.video,
            parts.transport.output(),
            aggregators.assistant(),
            PipelineEnd(),
        ]
    )


def _gate(turn_taking: TurnTaking, language: str, video: CharacterVideoProcessor) -> TurnGate:
    own = turn_taking.backchannels
    return TurnGate(
        interrupt_after=turn_taking.interrupt_after,
        start=turn_taking.start,
        pause=turn_taking.pause,
        phrases=backchannels(language) if own is None else phrases_of(own),
        speaker=video,
    )


def _user_params(turn_taking: TurnTaking) -> LLMUserAggregatorParams:
    analyzer = LocalSmartTurnAnalyzerV3(params=SmartTurnParams(stop_secs=turn_taking.longest_pause))
    return LLMUserAggregatorParams(
        vad_analyzer=SileroVADAnalyzer(
            params=VADParams(
                confidence=turn_taking.confidence,
                start_secs=turn_taking.start,
                stop_secs=turn_taking.pause,
                min_volume=0.0,  # Pipecat smooths the volume, and speech would be noticed 0.15 s later
            )
        ),
        user_turn_strategies=UserTurnStrategies(start=[GateTurnStart()], stop=[SmartTurnStop(turn_analyzer=analyzer)]),
        user_idle_timeout=turn_taking.idle.seconds,
        empty_user_turn=None,
    )
