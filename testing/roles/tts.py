"""Text to speech."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.services.tts_service import TTSService

from animacy.core.pipeline.frames import SpeechFrame
from animacy.core.video.contract import VISEME_SHAPES, Viseme
from animacy.testing.bench import Bench
from animacy.testing.roles.services import close, comes_back, load, passes_on
from animacy.testing.rule import NotJudgedError, Rule, Suite, expect
from animacy.testing.sound import BYTES
from animacy.testing.stage import Stage, on_stage

SENTENCE = "A lighthouse shows ships the way at night."
BEGINNING = ("The lamp ", "is lit. ", "It is ")
REST = ("seen ", "from afar.")
STORY = "The keeper climbs the stairs every evening, lights the lamp, and waits until the morning comes. " * 3
WORDLESS = "🙂"
SPEAK_SECONDS = 30.0
STOP_SECONDS = 1.5
"""From an interruption to the last sound."""
LATER_SECONDS = 0.5
"""For which it is watched that nothing more comes."""
SHORTEST, LONGEST = 0.8, 15.0
"""Seconds that SENTENCE takes any voice."""
QUIETEST = 30
"""Root mean square of 16-bit samples: below is silence."""


async def speaks(bench: Bench) -> str | None:
    """The renderer, the transport and the measures count on these frames and on their rate."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await stage.send(TTSSpeakFrame(SENTENCE))
        await _spoken(stage)
        stage.expect_no_errors()
        sounds = stage.of(TTSAudioRawFrame)
    order = [type(frame) for frame in stage.of(TTSStartedFrame, TTSAudioRawFrame, TTSStoppedFrame)]
    bench.seen["speech"] = stage
    rate = bench.character.sample_rate
    wrong = [frame for frame in sounds if frame.sample_rate != rate]
    if wrong:
        expect(False, f"a frame of {wrong[0].sample_rate} Hz, asked for {rate} (context.sample_rate, and StartFrame's)")
    expect(all(frame.num_channels == 1 for frame in sounds), "the sound is not mono")
    expect(all(len(frame.audio) % BYTES == 0 for frame in sounds), "a frame holds half a sample: 16 bits each")
    pcm = np.frombuffer(b"".join(frame.audio for frame in sounds), "<i2")
    seconds, loudness = len(pcm) / rate, float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2)))
    expect(loudness >= QUIETEST, "its speech is silence")
    expect(
        SHORTEST <= seconds <= LONGEST,
        f"{SENTENCE!r} takes {seconds:.1f} s at {rate} Hz: are the samples really of that rate?",
    )
    expect(issubclass(order[0], TTSStartedFrame), "no TTSStartedFrame comes before the first sound")
    expect(issubclass(order[-1], TTSStoppedFrame), "no TTSStoppedFrame comes after the last sound")
    return f"{seconds:.1f} s of speech in {len(sounds)} frames"


async def streams(bench: Bench) -> str | None:
    """The first sentence is heard while the model still writes the second."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await stage.send(LLMFullResponseStartFrame(), *map(LLMTextFrame, BEGINNING))
        early = await stage.until(lambda: stage.of(TTSAudioRawFrame), SPEAK_SECONDS / 2)
        expect(early, f"the first sentence is not heard before the answer is complete{_told(stage)}")
        await stage.send(*map(LLMTextFrame, REST), LLMFullResponseEndFrame())
        await _spoken(stage)
        sounds, times = stage.of(TTSAudioRawFrame), stage.times(TTSAudioRawFrame)
    expect(len(sounds) > 1, "all sound comes in one frame")
    return f"{len(sounds)} frames in {times[-1] - times[0]:.2f} s"


async def tells(bench: Bench) -> str | None:
    """What was said is shown as it is heard, and remembered: of an answer that was cut, no more than that."""
    said = [word for frame in _speech(bench).of(TTSTextFrame) for word in _words(frame.text)]
    expect(said, "no TTSTextFrame comes, so nobody knows what was said")
    expect(said == _words(SENTENCE), f"it says {SENTENCE!r}, and tells {' '.join(said)!r}")
    return None


async def moves_the_mouth(bench: Bench) -> str | None:
    """Mouth shapes that are wrong are worse than none: without any, the renderer reads the sound."""
    timed: list[Viseme] = []
    begin = 0.0
    for frame in _speech(bench).of(TTSAudioRawFrame):
        if isinstance(frame, SpeechFrame):
            expect(all(v.start >= -1e-3 for v in frame.visemes), "a viseme begins before the frame that it came with")
            timed += [Viseme(v.shape, v.start + begin, v.end + begin) for v in frame.visemes]
        begin += len(frame.audio) / BYTES / frame.sample_rate
    if not timed:
        raise NotJudgedError("it sends no visemes, so the mouth follows the sound")
    unknown = sorted({viseme.shape for viseme in timed} - set(VISEME_SHAPES))
    expect(not unknown, f"no mouth has the shape {', '.join(unknown)}; there are {', '.join(VISEME_SHAPES)}")
    expect(all(v.end >= v.start for v in timed), "a viseme ends before it begins")
    expect(all(a.start <= b.start + 1e-3 for a, b in pairwise(timed)), "visemes are out of order, or come twice")
    expect(
        max(v.end for v in timed) <= begin + 1.0, f"visemes go on {max(v.end for v in timed) - begin:.1f} s too long"
    )
    return f"{len(timed)} visemes"


async def says_nothing(bench: Bench) -> str | None:
    """Models write emoji. What has no sound must not hold up what comes after it."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await stage.send(LLMFullResponseStartFrame(), LLMTextFrame(WORDLESS), LLMFullResponseEndFrame())
        await asyncio.sleep(0.5)
        stage.forget()
        await _say(stage, SENTENCE)
        found = await stage.until(lambda: any(any(f.audio) for f in stage.of(TTSAudioRawFrame)), SPEAK_SECONDS / 3)
        expect(found, f"after an answer of {WORDLESS!r} alone, the next one is not heard{_told(stage)}")
    return None


async def stops(bench: Bench) -> str | None:
    """A user who interrupts is not spoken over, and is answered next."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await _say(stage, STORY)
        await _heard(stage)
        at = await stage.interrupt()
        await asyncio.sleep(STOP_SECONDS + LATER_SECONDS)
        late = stage.times(TTSAudioRawFrame, since=at + STOP_SECONDS)
        expect(not late, f"sound still comes {late[-1] - at:.1f} s after an interruption" if late else "")
        last = max(stage.times(TTSAudioRawFrame, since=at), default=at) - at
        stage.forget()
        await _say(stage, SENTENCE)
        await _heard(stage)
    return f"the last sound came {last:.2f} s after the interruption, and the next answer was heard"


async def hangs_up(bench: Bench) -> str | None:
    """The user leaves in the middle of an answer."""
    async with bench.loaded() as product, on_stage(bench.character, product) as stage:
        await _say(stage, STORY)
        await _heard(stage)
        await stage.cancel()
    return f"in {stage.ended_in:.2f} s"


async def _say(stage: Stage, text: str) -> None:
    """As an answer of the model."""
    words: list[Frame] = [LLMTextFrame(f"{word} ") for word in text.split()]
    await stage.send(LLMFullResponseStartFrame(), *words, LLMFullResponseEndFrame())


async def _heard(stage: Stage) -> None:
    """Wait for the first sound."""
    await stage.until(lambda: stage.of(TTSAudioRawFrame) or stage.errors, SPEAK_SECONDS)
    expect(stage.of(TTSAudioRawFrame), f"no TTSAudioRawFrame within {SPEAK_SECONDS:.0f} s{_told(stage)}")


async def _spoken(stage: Stage) -> None:
    """Wait for the last sound."""
    await _heard(stage)
    await stage.until(lambda: stage.of(TTSStoppedFrame), SPEAK_SECONDS)
    await stage.quiet(TTSAudioRawFrame)


def _speech(bench: Bench) -> Stage:
    """On which SENTENCE was spoken."""
    stage: Stage | None = bench.seen.get("speech")
    if stage is None:
        raise NotJudgedError("nothing was spoken")
    return stage


async def _speaks_once(_: Bench, stage: Stage) -> None:
    await _say(stage, SENTENCE)
    await _heard(stage)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _told(stage: Stage) -> str:
    return "".join(f"\ntold: {error}" for error in stage.errors)


async def _use(bench: Bench, product: Any) -> Sequence[BaseException]:
    async with on_stage(bench.character, product) as stage:
        await stage.send(TTSSpeakFrame(SENTENCE))
        await stage.until(lambda: stage.of(ErrorFrame) or stage.of(TTSAudioRawFrame), SPEAK_SECONDS / 2)
        return stage.errors


SUITE = Suite(
    TTSService,
    "a Pipecat TTSService",
    load,
    close,
    (
        Rule("passes on what is not its own", passes_on),
        Rule("speaks at the character's rate", speaks),
        Rule("speaks while the answer is written", streams),
        Rule("tells what it says", tells),
        Rule("moves the mouth in time", moves_the_mouth),
        Rule("is not held up by what has no sound", says_nothing),
        Rule("stops when it is interrupted", stops),
        Rule("comes back after it was relieved", comes_back(_speaks_once)),
        Rule("ends when the user hangs up", hangs_up),
    ),
    use=_use,
    conversing=True,
)
