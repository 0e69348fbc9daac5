"""The commands and their options."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Optional

import typer

from animacy.core.cli.knowledge import knowledge_app
from animacy.core.plugins import Plugins

app = typer.Typer(
    help="One picture and one YAML recipe become a character that listens, thinks, speaks and moves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
recipe_app = typer.Typer(help="About recipes.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")
report_app = typer.Typer(help="About reports.", no_args_is_help=True)
app.add_typer(report_app, name="report")
app.add_typer(knowledge_app, name="knowledge")

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.", show_default=False)]
# typer reads annotations at run time and wants Optional on Python 3.11: here, and wherever UP045 is silenced below.
OptionalPath = Optional[Path]  # noqa: UP045 - typer reads it at run time


@cache
def plugins() -> Plugins:
    """The plugins of this process, loaded once."""
    return Plugins().load()


@app.command()
def run(
    recipe: RecipePath,
    input: Annotated[
        OptionalPath, typer.Option("--input", "-i", help="A recording that serves as the microphone.")
    ] = None,
    output: Annotated[
        OptionalPath, typer.Option("--output", "-o", help="The film to write (.mp4, .mov, .mkv).")
    ] = None,
    report: Annotated[OptionalPath, typer.Option(help="Where to write the report, as JSON.")] = None,
    waterfall: Annotated[OptionalPath, typer.Option(help="Where to draw the latency waterfall (PNG).")] = None,
    sheet: Annotated[OptionalPath, typer.Option(help="Where to draw a contact sheet of the film (PNG).")] = None,
    host: Annotated[Optional[str], typer.Option(help="Address to serve the page at.")] = None,  # noqa: UP045 - typer reads it at run time
    port: Annotated[Optional[int], typer.Option(help="Port of the page; 0 for any.", min=0, max=65535)] = None,  # noqa: UP045 - typer reads it at run time
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the pipeline logs.")] = False,
) -> None:
    """Talk with a character: in the browser, or with --input and --output a recording to it, filmed."""
    from animacy.core.cli.run import Asked, run_character

    run_character(plugins(), recipe, Asked(input, output, report, waterfall, sheet, host, port), verbose)


@app.command()
def render(
    recipe: RecipePath,
    out: Annotated[Path, typer.Option("--out", "-o", help="The film to write (.mp4, .mov, .mkv).")],
    text: Annotated[Optional[str], typer.Option(help="What the character says.")] = None,  # noqa: UP045 - typer reads it at run time
    audio: Annotated[OptionalPath, typer.Option(help="A recording the character speaks.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the pipeline logs.")] = False,
) -> None:
    """Film a character saying a text or a recording, as fast as this machine can."""
    from animacy.core.cli.render import render_film

    render_film(plugins(), recipe, out, text, audio, verbose)


@app.command()
def check(
    recipe: RecipePath,
    face: Annotated[bool, typer.Option(help="Also look for the face in the picture.")] = True,
) -> None:
    """Check a recipe, its picture and its plugins, and say everything that is wrong at once."""
    from animacy.core.cli.check import check_recipe

    check_recipe(plugins(), recipe, face)


@app.command("plugins")
def list_plugins(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the plugins, what they provide, and those that failed to load."""
    from animacy.core.cli.listing import print_plugins

    print_plugins(plugins(), json)


@app.command()
def conform(
    role: Annotated[str, typer.Argument(help="stt, llm, tts, video, transport, tool, vision, embedding or knowledge.")],
    name: Annotated[str, typer.Argument(help="What a recipe writes after `plugin:`.")],
    settings: Annotated[Optional[str], typer.Option(help="Settings as a recipe gives them: '{key: value}'.")] = None,  # noqa: UP045 - typer reads it at run time
    recipe: Annotated[OptionalPath, typer.Option(help="Take character, picture and settings from this recipe.")] = None,
    only: Annotated[Optional[list[str]], typer.Option(help="A rule to try alone; may be repeated.")] = None,  # noqa: UP045 - typer reads it at run time
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a plugin through everything that plugins of its role are held to."""
    from animacy.core.cli.conform import conform as conform_plugin

    conform_plugin(plugins(), role, name, settings, recipe, only or (), json)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The character's name; also the folder to make.")],
    image: Annotated[Path, typer.Option("--image", help="The character's picture.")],
) -> None:
    """Make a recipe from a picture."""
    from animacy.core.cli.new import new_recipe

    new_recipe(name, image)


@app.command("new-plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(help='What recipes will call it, such as "touch-tones".')],
    role: Annotated[
        str, typer.Option(help="What it does: stt, llm, tts, video, tool, vision, embedding or knowledge.")
    ],
) -> None:
    """Make a package of your own for one role, which works at once."""
    from animacy.core.cli.new_plugin import new_plugin as make

    make(plugins(), name, role)


@app.command()
def doctor(
    recipe: Annotated[OptionalPath, typer.Argument(metavar="[RECIPE]", help="Look at what this recipe needs.")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch what is missing.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every byte of every model and check its hash.")
    ] = False,
    load: Annotated[bool, typer.Option(help="Load each model and say what that costs.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is present, what is missing, and what each model costs in disk, memory and time."""
    from animacy.core.cli.doctor import examine

    examine(plugins(), recipe, fetch, verify, load, json)


@recipe_app.command("schema")
def print_recipe_schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from animacy.core.recipe_loader import recipe_schema
    from animacy.core.report import schema_text

    typer.echo(schema_text(recipe_schema(plugins())), nl=False)


@report_app.command("schema")
def print_report_schema() -> None:
    """Print the JSON Schema of the report of `animacy run --report`."""
    from animacy.core.report import report_schema, schema_text

    typer.echo(schema_text(report_schema()), nl=False)
