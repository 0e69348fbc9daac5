"""Speech to text."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

from pipecat.frames.frames import (
    ErrorFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.services.stt_service import STTService

from animacy.core.pipeline.frames import ForeseenTranscriptFrame
from animacy.testing.bench import Bench
from animacy.testing.roles.services import close, comes_back, load, passes_on
from animacy.testing.rule import NotJudgedError, Rule, Suite, expect
from animacy.testing.sound import BYTES, microphone, silence, trimmed
from animacy.testing.stage import Stage, on_stage

HEAR_SECONDS = 30.0
FINAL_SECONDS = 5.0
"""From the first text of a stretch of speech to its last."""
SILENT_SECONDS = 0.6
PAUSE_SECONDS = 0.2
"""After which the voice activity detection takes a stretch of speech to be over (recipe: turn_taking.pause)."""
FASTER = 8
"""So many times as fast as a microphone the sound comes."""
LONG_SECONDS = 60.0
KEPT_SHARE = 0.5
"""Of the silence that came, so much may be kept by what understands it a moment later."""


async def hears(bench: Bench) -> str | None:
    """A text for what was said, and one that says that nothing follows: until then the character waits."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        first, again = await _understood(bench, stage), await _understood(bench, stage)
        stage.expect_no_errors()
    return f"heard {_text(first)!r}, and then {_text(again)!r}"


async def silent(bench: Bench) -> str | None:
    """An answer to nothing is the worst interruption."""
    rate = bench.character.input_sample_rate
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await _play(stage, silence(SILENT_SECONDS, rate), rate)
        await asyncio.sleep(SILENT_SECONDS)
        heard = _texts(stage)
        expect(not heard, f"it heard {_text(heard)!r} in silence")
        await _utter(stage, silence(SILENT_SECONDS, rate), rate)
        await stage.until(lambda: _texts(stage), SILENT_SECONDS)
        heard = _texts(stage)
        told = any(not frame.text for frame in stage.of(ForeseenTranscriptFrame))
    if heard:
        return f"{_text(heard)!r} in silence that was taken for speech"
    return None if told else NOT_TOLD


async def hangs_up(bench: Bench) -> str | None:
    """The user leaves in the middle of a word."""
    rate = bench.character.input_sample_rate
    sound = await bench.speech(rate)
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await stage.send(VADUserStartedSpeakingFrame(start_secs=0.1))
        await _play(stage, sound[: len(sound) // 4 * BYTES], rate)
        await stage.cancel()
    return f"in {stage.ended_in:.2f} s"


async def forgets_silence(bench: Bench) -> str | None:
    """A character listens for days."""
    if bench.is_local:
        raise NotJudgedError("its server is on this machine: if it is in this process, it keeps the sound")
    rate = bench.character.input_sample_rate
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await _play(stage, silence(LONG_SECONDS / 2, rate), rate, each=0.1, faster=200)
        stage.forget()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            await _play(stage, silence(LONG_SECONDS, rate), rate, each=0.1, faster=200)
            await stage.until(lambda: False, SILENT_SECONDS)
            stage.forget()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    came = LONG_SECONDS * rate * BYTES
    expect(
        grown < KEPT_SHARE * came, f"{grown / 1e6:.1f} MB more after {LONG_SECONDS:.0f} s of silence: it is all kept"
    )
    return f"{grown / 1e6:.2f} MB more after {LONG_SECONDS:.0f} s of silence"


NOT_TOLD = (
    "silence that was taken for speech is not told with ForeseenTranscriptFrame(''):\n"
    "in a recipe's list of services it counts as a failure"
)
NEVER_FINAL = (
    "no TranscriptionFrame has finalized=True, so every turn waits for a timeout\n"
    "set it on the last text of a stretch of speech"
)


async def _understood(bench: Bench, stage: Stage) -> list[TranscriptionFrame]:
    """What it makes of the recording."""
    rate, before = bench.character.input_sample_rate, len(_texts(stage))
    await _utter(stage, trimmed(await bench.speech(rate)), rate)
    await stage.until(lambda: len(_texts(stage)) > before, HEAR_SECONDS)
    found = await stage.until(lambda: any(frame.finalized for frame in _texts(stage)[before:]), FINAL_SECONDS)
    texts = _texts(stage)[before:]
    told = "".join(f"\ntold: {error}" for error in stage.errors)
    expect(texts, f"no TranscriptionFrame within {HEAR_SECONDS:.0f} s of speech{told}")
    expect(found, NEVER_FINAL)
    return texts


async def _utter(stage: Stage, pcm: bytes, rate: int) -> None:
    """One stretch of speech, with the frames that others send around it."""
    await _play(stage, silence(0.2, rate), rate)
    await stage.send(VADUserStartedSpeakingFrame(start_secs=0.1))
    await stage.send_up(UserStartedSpeakingFrame())
    await _play(stage, pcm + silence(PAUSE_SECONDS, rate), rate)
    await stage.send(VADUserStoppedSpeakingFrame(stop_secs=PAUSE_SECONDS, timestamp=time.time()))
    await stage.send_up(UserStoppedSpeakingFrame())


async def _play(stage: Stage, pcm: bytes, rate: int, each: float = 0.02, faster: float = FASTER) -> None:
    for frame in microphone(pcm, rate, each):
        await stage.send(frame)
        await asyncio.sleep(each / faster)


def _texts(stage: Stage) -> list[TranscriptionFrame]:
    return [frame for frame in stage.of(TranscriptionFrame) if frame.text.strip()]


def _text(frames: Sequence[TranscriptionFrame]) -> str:
    return " ".join(frame.text for frame in frames)


async def _use(bench: Bench, product: Any) -> Sequence[BaseException]:
    rate = bench.character.input_sample_rate
    async with on_stage(bench.character, product) as stage:
        await _utter(stage, trimmed(await bench.speech(rate)), rate)
        await stage.until(lambda: stage.of(ErrorFrame) or _texts(stage), HEAR_SECONDS)
        return stage.errors


SUITE = Suite(
    STTService,
    "a Pipecat STTService",
    load,
    close,
    (
        Rule("passes on what is not its own", passes_on),
        Rule("hears speech", hears),
        Rule("hears nothing in silence", silent),
        Rule("forgets silence", forgets_silence),
        Rule("comes back after it was relieved", comes_back(_understood)),
        Rule("ends when the user hangs up", hangs_up),
    ),
    use=_use,
    conversing=True,
)
