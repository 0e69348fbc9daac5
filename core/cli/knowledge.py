"""`animacy knowledge`: what a character knows, seen and changed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

knowledge_app = typer.Typer(help="About what a character knows.", no_args_is_help=True)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.", show_default=False)]


@knowledge_app.command("add")
def add(
    recipe: RecipePath,
    documents: Annotated[
        Optional[list[Path]],  # noqa: UP045 - typer reads annotations at run time
        typer.Argument(metavar="[DOCUMENT]...", help="More files or folders to know, from now on."),
    ] = None,
) -> None:
    """Index the recipe's documents, and those given. What is indexed already is not indexed again."""
    from animacy.core.cli.app import plugins
    from animacy.core.cli.knowledge_actions import add_documents

    add_documents(plugins(), recipe, documents or ())


@knowledge_app.command("list")
def list_known(recipe: RecipePath) -> None:
    """List the documents with their passages, and whether what is indexed is what is on disk."""
    from animacy.core.cli.app import plugins
    from animacy.core.cli.knowledge_actions import list_documents

    list_documents(plugins(), recipe)


@knowledge_app.command("search")
def search(
    recipe: RecipePath,
    question: Annotated[str, typer.Argument(help="As somebody would say it.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=50, help="Passages to show.")] = 3,
) -> None:
    """Show which passages a question finds, with their scores; the index is brought up to date first."""
    from animacy.core.cli.app import plugins
    from animacy.core.cli.knowledge_actions import search_documents

    search_documents(plugins(), recipe, question, count)


@knowledge_app.command("rm")
def remove(
    recipe: RecipePath,
    document: Annotated[str, typer.Argument(help="As `animacy knowledge list` calls it.")],
) -> None:
    """Forget a document, until it is added again. Its file stays where it is."""
    from animacy.core.cli.app import plugins
    from animacy.core.cli.knowledge_actions import remove_document

    remove_document(plugins(), recipe, document)
