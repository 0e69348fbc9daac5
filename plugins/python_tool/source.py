"""Finding the function that a recipe names, and calling it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from typing import Any

from pydantic import BaseModel, ValidationError

from animacy.core.allowed import allowed_module
from animacy.core.errors import ToolError
from animacy.core.plugins import suggestion
from animacy.core.tools.contract import Call, Tool
from animacy.core.tools.schema import check, flat
from animacy.core.tools.threads import in_thread
from animacy.plugins.python_tool import PythonToolSettings
from animacy.plugins.python_tool.signature import signature_of

GROUP = "animacy.tools"


class PythonTool:
    """One function as a tool source."""

    def __init__(self, settings: PythonToolSettings) -> None:
        self._settings = settings

    async def load(self) -> list[Tool]:
        """The tool. Raises AnimacyError with a remedy when there is no such function, or it may not be used."""
        named = self._settings.function
        found = await in_thread(f"import {named}", find, named)
        tool = self._from_langchain(found) if _is_langchain(found) else self._from_function(found)
        parameters = flat(tool.parameters)
        for example in self._settings.examples:
            try:
                check(parameters, example.arguments)
            except ToolError as error:
                raise ToolError(f"the example {example.user!r} of {tool.name} does not fit: {error.args[0]}") from None
        return [tool]

    async def close(self) -> None:
        """Nothing is held."""

    def _tool(self, name: str, purpose: str, parameters: Mapping[str, Any], run: Callable[[Call], Any]) -> Tool:
        examples = [(example.user, example.arguments) for example in self._settings.examples]
        description = self._settings.description or purpose
        if not description:
            raise ToolError(f"{name} has no docstring", "Give it one, or a `description`: the model goes by it.")
        own = re.sub(r"[^a-z0-9_]+", "_", name.casefold()).strip("_")
        return self._settings.make_tool(self._settings.name or own, description, parameters, run, examples)

    def _from_function(self, function: Any) -> Tool:
        if not callable(function) or inspect.isclass(function):
            raise ToolError(f"{self._settings.function} is no function", "Name a function or a LangChain tool.")
        signature = signature_of(function)

        async def run(call: Call) -> Any:
            try:
                arguments = signature.typed(call.arguments, call)
            except ValidationError as error:
                raise ToolError(_first_problem(error)) from None
            if inspect.iscoroutinefunction(function):
                return _plain(await function(**arguments))
            value = await in_thread(self._settings.function, partial(function, **arguments))
            return _plain(await value if inspect.isawaitable(value) else value)

        return self._tool(function.__name__, signature.purpose, signature.schema(), run)

    def _from_langchain(self, tool: Any) -> Tool:
        schema = tool.tool_call_schema
        parameters = schema if isinstance(schema, dict) else schema.model_json_schema()

        async def run(call: Call) -> Any:
            arguments = dict(call.arguments)
            try:
                if _is_async(tool):
                    return _plain(await tool.ainvoke(arguments))
                return _plain(await in_thread(self._settings.function, tool.invoke, arguments))
            except ValidationError as error:
                raise ToolError(_first_problem(error)) from None
            except sys.modules["langchain_core.tools"].ToolException as error:
                raise ToolError(str(error) or "that did not work") from None

        return self._tool(tool.name, tool.description, _without_titles(parameters), run)


def find(named: str) -> Any:
    """What a recipe names: an entry point, or `module:function` of a module that the operator allowed. Blocks."""
    if ":" not in named:
        entries = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
        if named not in entries:
            raise ToolError(f"no installed package offers the tool {named!r}", suggestion(named, entries))
        try:
            return entries[named].load()
        except Exception as error:  # a third party's code may fail in any way
            raise ToolError(f"the tool {named!r} does not load: {type(error).__name__}: {error}") from error
    module_name, _, path = named.partition(":")
    found: Any = allowed_module(module_name)
    for part in path.split("."):
        if not part or not hasattr(found, part):
            public = [name for name in vars(found) if not name.startswith("_")] if hasattr(found, "__dict__") else []
            raise ToolError(f"the module {module_name!r} has no {path!r}", suggestion(path, public))
        found = getattr(found, part)
    return found


def _is_langchain(found: Any) -> bool:
    tools = sys.modules.get("langchain_core.tools")  # it is there, if the object is one of its
    return tools is not None and isinstance(found, tools.BaseTool)


def _is_async(tool: Any) -> bool:
    """Whether it has async code of its own; LangChain would run the rest in threads that hold up the end."""
    if hasattr(tool, "coroutine"):
        return tool.coroutine is not None
    return type(tool)._arun is not sys.modules["langchain_core.tools"].BaseTool._arun


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _without_titles(schema: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = {key: value for key, value in schema.items() if key not in ("title", "description")}
    properties = cleaned.get("properties", {})
    cleaned["properties"] = {
        name: {key: value for key, value in part.items() if key != "title"} if isinstance(part, dict) else part
        for name, part in properties.items()
    }
    return cleaned


def _first_problem(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"the argument {'.'.join(map(str, detail['loc']))!r} does not fit: {detail['msg']}"
