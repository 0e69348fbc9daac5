"""When nobody has said anything for a while, the character says something."""

from __future__ import annotations

from pipecat.frames.frames import TTSSpeakFrame
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator

from animacy.core.recipe import Idle


def break_silences(user: LLMUserAggregator, idle: Idle) -> None:
    """Let the character say its next line whenever `user` reports silence, until it has done so often enough.

    The aggregator must have been given `idle.seconds` as its timeout. What the user says starts the count anew.
    """
    said = 0  # since the user spoke
    spoken = 0

    async def on_user_turn_idle(_: LLMUserAggregator) -> None:
        nonlocal said, spoken
        if said < idle.times:
            line = idle.lines[spoken % len(idle.lines)]
            said, spoken = said + 1, spoken + 1
            await user.push_frame(TTSSpeakFrame(line))

    async def on_user_turn_started(*_: object) -> None:
        nonlocal said
        said = 0

    user.add_event_handler("on_user_turn_idle", on_user_turn_idle)
    user.add_event_handler("on_user_turn_started", on_user_turn_started)
