"""Tools for the tests."""

from __future__ import annotations

import contextlib
import textwrap

from pydantic import TypeAdapter

from animacy.core.recipe_loader import load_recipe
from animacy.core.tools.contract import Tool
from animacy.core.tools.parameters import Parameters, json_schema
from animacy.core.tools.registry import Toolbox


def tool(name, run, parameters=None, **flags):
    """A tool with parameters as a recipe writes them."""
    schema = json_schema(TypeAdapter(Parameters).validate_python(parameters or {}))
    return Tool(name, f"Does {name}.", schema, run, **flags)


class Listed:
    """A source of given tools; fails with an error when given one."""

    def __init__(self, *tools, error=None):
        self.tools, self.error, self.closed = tools, error, 0

    async def load(self):
        if self.error is not None:
            raise self.error
        return self.tools

    async def close(self):
        self.closed += 1


def load(picture, plugins, tools):
    """A recipe with these tools, given as YAML."""
    recipe = picture.parent / "recipe.yaml"
    head = "character: {name: A, image: picture.png, persona: p}\ntools:\n"
    recipe.write_text(head + textwrap.indent(textwrap.dedent(tools), "  "))
    return load_recipe(recipe, plugins)


@contextlib.asynccontextmanager
async def opened(picture, plugins, tools):
    """The loaded toolbox of such a recipe; `told` is what the page got."""
    told = []

    async def tell(type_, data):
        told.append((type_, data))

    toolbox = Toolbox.of(load(picture, plugins, tools), tell=tell)
    toolbox.told = told
    try:
        await toolbox.load()
        yield toolbox
    finally:
        await toolbox.close()
