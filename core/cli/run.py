"""`animacy run`: one conversation, and what is left of it."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from animacy.core.cli.logs import quieten
from animacy.core.contact_sheet import draw_contact_sheet
from animacy.core.errors import InputError
from animacy.core.film import check_writable
from animacy.core.models import Model, fetch_all
from animacy.core.plugins import ROLES, Plugins
from animacy.core.recipe_loader import LoadedRecipe, load_recipe
from animacy.core.waterfall import draw_waterfall

if TYPE_CHECKING:
    from animacy.core.report import Report

EXIT_BY_ENDING = {"done": 0, "time limit": 0, "interrupted": 130, "no speech": 3, "no answer": 1}
ADVICE = {
    "no speech": "No speech was heard in the recording. Is it the right file, and loud enough?",
    "no answer": "The character did not answer in time. `animacy doctor` says what its models cost here.",
}


def run_character(
    plugins: Plugins,
    recipe: Path,
    input_path: Path | None,
    output: Path | None,
    report: Path | None,
    waterfall: Path | None,
    sheet: Path | None,
    verbose: bool,
) -> None:
    """Hold one conversation. Exits with 0 when the character has answered, 130 when interrupted (the film is kept)."""
    quieten(verbose)
    loaded = with_files(load_recipe(recipe, plugins), input_path, output)
    for path in (report, waterfall, sheet):
        if path is not None:
            check_writable(path)
    if (waterfall or sheet) and loaded.recipe.transport.plugin != "file":
        raise InputError("--waterfall and --sheet go with a recording", "Give --input and --output.")
    fetch_all(models_of(loaded))
    result = asyncio.run(_converse(loaded, plugins))
    if report is not None:
        result.write(report)
    if waterfall is not None:
        draw_waterfall(result, waterfall)
    if sheet is not None and result.film is not None:
        draw_contact_sheet(Path(result.film.path), sheet)
    _summarise(result)
    code = EXIT_BY_ENDING[result.ended]
    if code:
        raise typer.Exit(code)


def with_files(loaded: LoadedRecipe, input_path: Path | None, output: Path | None) -> LoadedRecipe:
    """The recipe with the files of the command line; only the file transport takes any."""
    given = {key: value for key, value in (("input", input_path), ("output", output)) if value is not None}
    if not given:
        return loaded
    if loaded.recipe.transport.plugin != "file":
        raise InputError(
            f"--input and --output need the file transport, the recipe names {loaded.recipe.transport.plugin!r}",
            "Write `transport: file`.",
        )
    settings = loaded.settings["transport"].model_copy(update=given)
    return dataclasses.replace(loaded, settings={**loaded.settings, "transport": settings})


def models_of(loaded: LoadedRecipe) -> list[Model]:
    """Every model file the recipe's plugins need."""
    return [model for role in ROLES for model in loaded.providers[role].models(loaded.settings[role])]


async def _converse(loaded: LoadedRecipe, plugins: Plugins) -> Report:
    from animacy.core.pipeline.session import Session

    session = Session(loaded, plugins, note=lambda line: print(line, file=sys.stderr))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop_then_leave, session.stop)
    return await session.run()


_stopping = False


def _stop_then_leave(stop: object) -> None:
    """The first signal ends the conversation properly, the second one ends the process."""
    global _stopping
    if _stopping:
        raise KeyboardInterrupt
    _stopping = True
    print("stopping: completing the film (press Ctrl-C again to leave at once)", file=sys.stderr)
    assert callable(stop)
    stop()


def _summarise(report: Report) -> None:
    for turn in report.turns:
        response = turn.first_response_frame
        seconds = "no answer" if response is None else f"answered after {response:.2f} s"
        print(f"user:      {turn.user}\n{report.character + ':':<10} {turn.character}   ({seconds})")
    frames = report.frames
    print(f"frames: {frames.sent} sent, {frames.late} late, {frames.repeated} repeated, {frames.dropped} dropped")
    if report.film is not None:
        film = report.film
        offset = "" if film.audio_video_offset_ms is None else f", audio to video {film.audio_video_offset_ms:+.1f} ms"
        print(f"film: {film.path}, {film.width}x{film.height}, {film.fps:g} fps, {film.seconds:.1f} s{offset}")
    if report.ended in ADVICE:
        print(f"error: {ADVICE[report.ended]}", file=sys.stderr)
