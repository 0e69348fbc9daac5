"""A Python function, or a tool of LangChain, as a tool."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider
from animacy.core.tools.settings import ToolExample, ToolFlags, ToolName


class PythonToolSettings(ToolFlags):
    """What a recipe may say beside `plugin: python`."""

    function: str = Field(
        min_length=1, max_length=200, description="an entry point of the group animacy.tools, or module:function"
    )
    name: ToolName | None = Field(None, description="what the model calls it; the function's own name")
    description: str | None = Field(
        None, min_length=1, max_length=1000, description="for the model; from the docstring"
    )
    examples: tuple[ToolExample, ...] = Field((), max_length=12, description="what users say, and the arguments then")


def _create(settings: PythonToolSettings, character: CharacterContext) -> Any:
    from animacy.plugins.python_tool.source import PythonTool

    return PythonTool(settings)


@hookimpl
def tool_providers() -> Provider:
    """Offer `plugin: python`."""
    return Provider("python", PythonToolSettings, _create, summary="A Python function, or a LangChain tool")
