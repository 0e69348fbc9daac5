"""`animacy run`: one conversation, and what is left of it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from animacy.core.cli.logs import quieten
from animacy.core.contact_sheet import draw_contact_sheet
from animacy.core.errors import InputError
from animacy.core.film import check_writable
from animacy.core.models import Model, fetch_all
from animacy.core.pipeline.transport import Server, Transport
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import LoadedRecipe, load_recipe
from animacy.core.waterfall import draw_waterfall

if TYPE_CHECKING:
    from animacy.core.report import Report

EXIT_BY_ENDING = {"done": 0, "time limit": 0, "interrupted": 130, "no speech": 3, "no answer": 1}
ADVICE = {
    "no speech": "No speech was heard in the recording. Is it the right file, and loud enough?",
    "no answer": "The character did not answer in time. `animacy doctor` says what its models cost here.",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says beside the recipe."""

    input: Path | None = None
    output: Path | None = None
    report: Path | None = None
    waterfall: Path | None = None
    sheet: Path | None = None
    host: str | None = None
    port: int | None = None


def run_character(plugins: Plugins, recipe: Path, asked: Asked, verbose: bool) -> None:
    """Hold conversations: with a recording, or with whoever opens the page.

    A recorded one exits with 0 when the character has answered, 130 when interrupted (the film is kept).
    """
    quieten(verbose)
    loaded = with_transport(load_recipe(recipe, plugins), plugins, asked)
    transport = loaded.create("transport")
    if isinstance(transport, Server):
        from animacy.core.cli.serve import serve

        serve(loaded, plugins, transport)
        return
    for path in (asked.report, asked.waterfall, asked.sheet):
        if path is not None:
            check_writable(path)
    fetch_all(models_of(loaded))
    result = asyncio.run(_converse(loaded, plugins, transport))
    if asked.report is not None:
        result.write(asked.report)
    if asked.waterfall is not None:
        draw_waterfall(result, asked.waterfall)
    if asked.sheet is not None and result.film is not None:
        draw_contact_sheet(Path(result.film.path), asked.sheet)
    _summarise(result)
    code = EXIT_BY_ENDING[result.ended]
    if code:
        raise typer.Exit(code)


def with_transport(loaded: LoadedRecipe, plugins: Plugins, asked: Asked) -> LoadedRecipe:
    """The recipe with the transport as the command line wants it. Raises InputError for options that don't fit.

    `--input` and `--output` mean a recording, whatever the recipe says for live use.
    """
    name = loaded.recipe.transport.plugin
    files = _given(input=asked.input, output=asked.output)
    if files and name != "file":
        file = plugins.get("transport", "file")
        loaded = loaded.with_choice("transport", file, file.settings())
    elif not files and name != "file":
        reports = _given(report=asked.report, waterfall=asked.waterfall, sheet=asked.sheet)
        if reports:
            raise InputError(f"{_options(reports)} goes with a recording", "Give --input and --output.")
    address = _given(host=asked.host, port=asked.port)
    transport = loaded.chosen["transport"]
    settings = transport.settings
    unknown = [key for key in address if key not in type(settings).model_fields]
    if unknown:
        raise InputError(
            f"{_options(unknown)} goes with a transport that serves", "Leave it out, or write `transport: web`."
        )
    changed = settings.model_copy(update={**files, **address})
    return loaded.with_choice("transport", transport.provider, changed)


def _given(**options: object) -> dict[str, object]:
    return {key: value for key, value in options.items() if value is not None}


def _options(names: Iterable[str]) -> str:
    return " and ".join(f"--{name}" for name in names)


def models_of(loaded: LoadedRecipe) -> list[Model]:
    """Every model file the recipe's plugins need."""
    return [model for choice in loaded.choices for model in choice.provider.models(choice.settings)]


async def _converse(loaded: LoadedRecipe, plugins: Plugins, transport: Transport) -> Report:
    from animacy.core.pipeline.session import Session

    session = Session(loaded, plugins, transport, note=lambda line: print(line, file=sys.stderr))
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
