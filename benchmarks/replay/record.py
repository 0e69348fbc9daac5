"""Records the conversation that others replay: `python -m benchmarks.replay.record [--out FILE]`.

Iris answers two spoken questions with her real models; the third question interrupts the second answer.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from animacy.core import Provider
from animacy.core.film import read_audio
from animacy.core.pipeline.session import Session
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import load_recipe
from animacy.core.video.contract import CharacterState, RenderedChunk, Viseme
from benchmarks.replay.score import Event, Score

ROOT = Path(__file__).parents[2]
SCORE = ROOT / "benchmarks" / "data" / "conversation.json"
QUESTIONS = ROOT / "tests" / "data" / "questions"
PARTS: tuple[str | float, ...] = ("01.flac", 9.0, "02.flac", 4.0, "05.flac", 1.0)
RATE = 16_000


class Recorder:
    """A renderer that notes what it is told and lets another one draw."""

    def __init__(self, renderer: Any) -> None:
        self._renderer = renderer
        self._began: float | None = None
        self._rate = 24_000
        self.events: list[Event] = []
        self.voice = bytearray()

    async def start(self, portrait: Any, output: Any) -> None:
        self._rate = output.sample_rate
        await self._renderer.start(portrait, output)

    def push_audio(self, pcm: bytes, sample_rate: int, turn: int, visemes: Sequence[Viseme] | None) -> None:
        self._note("speech", turn=turn, samples=len(pcm) // 2)
        self.voice += pcm
        self._renderer.push_audio(pcm, sample_rate, turn, visemes)

    def end_turn(self, turn: int) -> None:
        self._note("end", turn=turn)
        self._renderer.end_turn(turn)

    def interrupt(self, turn: int) -> None:
        self._note("interrupt", turn=turn)
        self._renderer.interrupt(turn)

    def set_state(self, state: CharacterState, emotion: str | None = None) -> None:
        self._note("state", state=state.value)
        self._renderer.set_state(state, emotion)

    async def __aiter__(self) -> AsyncIterator[RenderedChunk]:
        async for chunk in self._renderer:
            self._began = self._began or time.monotonic()
            yield chunk

    async def close(self) -> None:
        await self._renderer.close()

    def score(self) -> Score:
        """What was noted."""
        seconds = time.monotonic() - (self._began or time.monotonic())
        return Score(self._rate, seconds, tuple(self.events), np.frombuffer(bytes(self.voice), "<i2"))

    def _note(self, kind: Any, **more: Any) -> None:
        at = round(time.monotonic() - self._began, 4) if self._began is not None else 0.0
        self.events.append(Event(at, kind, **more))


async def record(folder: Path) -> Score:
    """Hold the conversation."""
    pieces = [
        read_audio(QUESTIONS / part, RATE) if isinstance(part, str) else np.zeros(int(part * RATE), np.int16)
        for part in PARTS
    ]
    soundfile.write(folder / "microphone.wav", np.concatenate(pieces), RATE)
    plugins = Plugins().load()
    loaded = load_recipe(ROOT / "recipes" / "iris" / "recipe.yaml", plugins)
    portrait, file = loaded.chosen["video"], plugins.get("transport", "file")
    recorder = Recorder(loaded.create("video"))
    loaded = loaded.with_choice(
        "video", Provider("recorder", type(portrait.settings), lambda *_: recorder), portrait.settings
    )
    settings = file.settings(input=folder / "microphone.wav", output=folder / "film.mp4")
    loaded = loaded.with_choice("transport", file, settings)
    report = await Session(loaded, plugins, loaded.create("transport")).run()
    for turn in report.turns:
        print(f"{turn.user!r} -> {turn.character!r}{' (interrupted)' if turn.interrupted else ''}")
    score = recorder.score()
    return dataclasses.replace(score, seconds=min(score.seconds, report.seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SCORE)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(record(Path(folder))).save(options.out)


if __name__ == "__main__":
    main()
