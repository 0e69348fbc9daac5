"""How soon an interrupted character is silent and its mouth still, at a client of the live protocol.

    python -m benchmarks.bargein [--interruptions 30] [--out out/bargein]

Answers are interrupted at random moments by real speech. Time counts from the first voiced sample of the interruption
as the microphone sends it: until the client plays nothing more of the answer, and until it shows the first picture from
which on the mouth, by landmarks on the decoded pictures, stays as it is at rest. Loopback, one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from animacy.core.film import read_audio
from animacy.core.pipeline.samples import percentile
from animacy.core.pipeline.session import machine
from animacy.plugins.web.headless import MICROPHONE_RATE, HeadlessClient, decode, voiced_start
from animacy.plugins.web.playout import Picture, Sound
from benchmarks.lips import CLOSED, MouthWatch
from benchmarks.serving import IRIS, QUESTIONS, ROOT, serving

EARLIEST, LATEST = 0.2, 4.0
"""Seconds of the answer that are heard before the interruption, at least and at most."""
BEFORE, AFTER = 0.3, 1.2
"""Seconds around the interruption that are looked at; it goes on speaking meanwhile, so the mouth must be at rest."""
PATIENCE = 5.0
PLAY_STEP = 0.01
STILL_FRAMES = 8
"""Pictures in a row in which the mouth must be at rest."""


@dataclass(slots=True)
class Cut:
    """One interruption. Times are time.monotonic; `codec` decodes `pictures`, which begin with a key frame."""

    began: float
    turn: int
    pictures: list[Picture]
    sounds: list[Sound]
    flushed: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Milliseconds from the first voiced sample of the interruption. None if it did not come to that."""

    told_ms: float | None
    silent_ms: float | None
    still_ms: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=IRIS)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bargein")
    parser.add_argument("--interruptions", type=int, default=30)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cuts, metrics, codec = asyncio.run(interrupt(options))
    outcomes = [measure(cut, codec) for cut in cuts]
    conclude(outcomes, metrics, options.out)


async def interrupt(options: argparse.Namespace) -> tuple[list[Cut], dict[str, Any], str]:
    """Ask, interrupt the answer by the next question, and so on."""
    chance = random.Random(options.seed)
    recordings = [read_audio(path, MICROPHONE_RATE) for path in sorted(QUESTIONS.glob("*.flac"))]
    # Without the silence before the first word, so that the moment is the one that was chosen.
    speech = [samples[round(voiced_start(samples) * MICROPHONE_RATE) :] for samples in recordings]
    log = options.out / "server.log"
    async with serving(options.recipe, options.port, log) as server, HeadlessClient(server.url) as client:
        await client.until(lambda: client.first_picture)
        await client.silence(2.0)
        await client.say(speech[0])
        cuts: list[Cut] = []
        tries = 0
        while len(cuts) < options.interruptions and tries < 2 * options.interruptions:
            tries += 1
            question = speech[tries % len(speech)]
            cut = await interrupt_once(client, question, chance.uniform(EARLIEST, LATEST))
            if cut is not None:
                cuts.append(cut)
                print(f"interruption {len(cuts)} of {options.interruptions}", flush=True)
        assert client.http is not None
        async with client.http.get(f"{server.url}/api/metrics") as response:
            return cuts, await response.json(), client.welcome["video"]["codec"]


async def interrupt_once(client: HeadlessClient, question: Any, after: float) -> Cut | None:
    """Wait for an answer, interrupt it. None if it was over before."""
    sounds = client.playout.sounds
    asked = sounds[-1].arrived

    def answered() -> bool | None:
        newest = reversed(sounds)
        return next((True for s in newest if s.arrived > asked and s.turn and s.voiced and s.heard is not None), None)

    try:
        await client.until(answered)
        await client.tell("keyframe")
        await asyncio.sleep(after)
        last = await client.until(lambda: _heard_just_now(client), within=PATIENCE)
    except TimeoutError:
        # No answer, or it was over already: there has to be another one.
        await client.say(question)
        return None
    began = (await client.say(question)).began
    await asyncio.sleep(max(0.0, began + AFTER + 0.3 - asyncio.get_running_loop().time()))
    first = next(picture.pts for picture in client.playout.pictures if picture.arrived > began - BEFORE)
    flush = next((m for m in client.messages if m.type == "flush" and m.at > began), None)
    recent = [sound for sound in sounds if sound.arrived > began - 2.0]
    return Cut(began, last.turn, client.recent(first), recent, None if flush is None else flush.at)


def _heard_just_now(client: HeadlessClient) -> Sound | None:
    """The piece of the answer that is being heard, if there is a voice in it."""
    now = asyncio.get_running_loop().time()
    heard = next((sound for sound in reversed(client.playout.sounds) if sound.heard is not None), None)
    fresh = heard is not None and heard.heard is not None and now - heard.heard < heard.seconds
    return heard if heard is not None and fresh and heard.turn and heard.voiced else None


def measure(cut: Cut, codec: str) -> Outcome:
    """Look at what was heard and seen."""

    def after(moment: float | None) -> float | None:
        return None if moment is None else round(1000 * max(0.0, moment - cut.began), 1)

    return Outcome(after(cut.flushed), after(_silent_from(cut)), after(_still_from(cut, codec)))


def _silent_from(cut: Cut) -> float | None:
    """When the last voiced sound of the answer ended, or was cut off in the middle. None if it was never cut."""
    if cut.flushed is None:
        return None
    ends = [cut.began]
    for sound in cut.sounds:
        if sound.turn == cut.turn and sound.voiced and sound.heard is not None:
            end = sound.heard + sound.seconds
            ends.append(min(end, cut.flushed + PLAY_STEP) if sound.heard < cut.flushed else end)
    return max(ends)


def _still_from(cut: Cut, codec: str) -> float | None:
    """When the first picture was shown from which on the mouth is at rest."""
    watch = MouthWatch()
    shown: list[tuple[float, float]] = []
    for picture, rgb in decode(cut.pictures, codec):
        if picture.shown is not None and cut.began - BEFORE <= picture.shown <= cut.began + AFTER:
            shown.append((picture.shown, watch.opening(rgb)))
    return still_from(shown, cut.began)


def still_from(shown: Sequence[tuple[float, float]], began: float) -> float | None:
    """The first moment from which on the mouth keeps the opening that it has in the end. Pairs of moment, opening."""
    if len(shown) < 2 * STILL_FRAMES:
        return None
    rest = float(np.median([opening for _, opening in shown[-STILL_FRAMES:]]))
    still = len(shown)
    while still and abs(shown[still - 1][1] - rest) < CLOSED:
        still -= 1
    if len(shown) - still < STILL_FRAMES:
        return None
    return max(began, shown[still][0])


def conclude(outcomes: list[Outcome], metrics: dict[str, Any], out: Path) -> None:
    print(f"\n{len(outcomes)} interruptions, milliseconds from the first voiced sample")
    figures = {}
    for name, what in (("told_ms", "client told"), ("silent_ms", "silent"), ("still_ms", "mouth still")):
        known = sorted(value for one in outcomes if (value := getattr(one, name)) is not None)
        if known:
            figures[name] = {
                "n": len(known),
                "p50": round(percentile(known, 0.5), 1),
                "p95": round(percentile(known, 0.95), 1),
                "max": known[-1],
            }
            row = figures[name]
            print(f"  {what:<12} n {row['n']}  median {row['p50']:.0f}  p95 {row['p95']:.0f}  max {row['max']:.0f}")
    result = {
        "machine": machine(),
        "figures": figures,
        "server": metrics["barge_in"],
        "interruptions": [asdict(one) for one in outcomes],
    }
    (out / "summary.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    print(f"see {out / 'summary.json'}")


if __name__ == "__main__":
    main()
