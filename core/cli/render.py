"""`animacy render`: a film of a text or a recording, as fast as the machine can."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from animacy.core.cli.logs import quieten
from animacy.core.errors import InputError
from animacy.core.film import FilmWriter, read_audio
from animacy.core.models import fetch_all
from animacy.core.plugins import Plugins, Role
from animacy.core.recipe_loader import LoadedRecipe, load_recipe
from animacy.core.video.contract import CharacterState, Renderer, VideoFormat, Viseme

LEAD_SECONDS = 0.5
TAIL_SECONDS = 1.0
TURN = 1


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of speech: mono int16 at the film's rate, with its mouth shapes if the voice tells."""

    pcm: bytes
    visemes: Sequence[Viseme] | None


def render_film(plugins: Plugins, recipe: Path, out: Path, text: str | None, audio: Path | None, verbose: bool) -> None:
    """Render and write. Exactly one of `text` and `audio` must be given."""
    quieten(verbose)
    if (text is None) == (audio is None):
        raise InputError("give either --text or --audio", "Say what the character speaks.")
    if text is not None and not text.strip():
        raise InputError("--text is empty", "Say what the character speaks.")
    loaded = load_recipe(recipe, plugins)
    video = loaded.recipe.video.video_format()
    writer = FilmWriter(out, video)
    try:
        roles: tuple[Role, ...] = ("video", "tts") if text is not None else ("video",)
        fetch_all([model for role in roles for model in loaded.models(role)])
        began = time.monotonic()
        asyncio.run(_render(loaded, writer, text, audio))
        writer.finish()
    except BaseException:
        writer.discard()
        raise
    seconds = writer.frames / video.fps
    spent = time.monotonic() - began
    print(f"{out}: {seconds:.1f} s of film in {spent:.1f} s ({seconds / spent:.1f} times real time, loading included)")


async def _render(loaded: LoadedRecipe, writer: FilmWriter, text: str | None, audio: Path | None) -> None:
    video = loaded.recipe.video.video_format()
    lines = await _speech(loaded, text) if text is not None else _recording(audio, video)
    renderer: Renderer = loaded.create("video")
    try:
        await renderer.start(loaded.portrait, video)
        await _film(renderer, lines, writer, video)
    finally:
        await renderer.close()


async def _speech(loaded: LoadedRecipe, text: str) -> list[Line]:
    from animacy.core.pipeline.frames import SpeechFrame
    from animacy.core.pipeline.loading import Loadable
    from animacy.core.pipeline.speech import speak

    tts = loaded.create("tts")
    if isinstance(tts, Loadable):
        await tts.load()
    frames = await speak(tts, text, loaded.context().sample_rate)
    return [Line(frame.audio, frame.visemes if isinstance(frame, SpeechFrame) else None) for frame in frames]


def _recording(audio: Path | None, video: VideoFormat) -> list[Line]:
    assert audio is not None
    return [Line(read_audio(audio, video.sample_rate).tobytes(), None)]


async def _film(renderer: Renderer, lines: list[Line], writer: FilmWriter, video: VideoFormat) -> None:
    samples = sum(len(line.pcm) // 2 for line in lines)
    lead, tail = round(LEAD_SECONDS * video.fps), round(TAIL_SECONDS * video.fps)
    expected = lead + -(-samples // video.samples_per_frame) + tail
    spoken = silent = 0
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("rendering", total=expected)
        async for chunk in renderer:
            await asyncio.to_thread(writer.write, chunk.frames, chunk.pcm)
            progress.update(task, completed=writer.frames)
            if lead > 0:
                lead -= len(chunk.frames)
                if lead <= 0:
                    _say(renderer, lines, video)
                continue
            spoken += len(chunk.frames) if chunk.turn is not None else 0
            silent = silent + len(chunk.frames) if spoken and chunk.turn is None else 0
            if silent >= tail:
                return


def _say(renderer: Renderer, lines: list[Line], video: VideoFormat) -> None:
    renderer.set_state(CharacterState.SPEAKING)
    for line in lines:
        renderer.push_audio(line.pcm, video.sample_rate, TURN, line.visemes)
    renderer.end_turn(TURN)
