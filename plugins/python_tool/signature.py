"""What a function takes, from its type hints and its docstring."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.errors import PydanticUserError

from animacy.core.errors import ToolError
from animacy.core.tools.contract import Call

_ARGUMENT = re.compile(r"^\s*(?:[:@]param\s+)?\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.+)$")
_SECTION = re.compile(r"^\s*(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?)\s*:\s*$")


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's arguments as a model, its purpose, and the parameter that gets the Call, if it has one."""

    arguments: type[BaseModel]
    purpose: str
    call: str | None

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        for part in schema.get("properties", {}).values():
            part.pop("title", None)
        return schema

    def typed(self, arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
        """The arguments as the function's own types. Raises ValidationError."""
        model = self.arguments.model_validate(dict(arguments))
        given = {name: getattr(model, field) for name, field in zip(self._names(), self._fields(), strict=True)}
        return given if self.call is None else {**given, self.call: call}

    def _fields(self) -> list[str]:
        return list(self.arguments.model_fields)

    def _names(self) -> list[str]:
        return [field.alias or name for name, field in self.arguments.model_fields.items()]


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read a function. Raises ToolError for one that a model cannot call."""
    name = getattr(function, "__name__", "it")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters
    except (NameError, TypeError, ValueError) as error:
        raise ToolError(
            f"the types of {name} cannot be read: {error}", "Give it type hints that can be read."
        ) from None
    purpose, notes = _docstring(inspect.getdoc(function) or "")
    fields: dict[str, Any] = {}
    call = None
    for number, parameter in enumerate(parameters.values()):
        hint = hints.get(parameter.name)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ToolError(f"{name} takes {parameter}, which no schema can tell", "Give it named parameters only.")
        if hint is None:
            raise ToolError(f"the parameter {parameter.name!r} of {name} has no type", "Give it a type hint.")
        if hint is Call:
            call = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        # Named apart from the attributes of a pydantic model; the alias is the real name.
        fields[f"argument_{number}"] = (
            hint,
            Field(default, alias=parameter.name, description=notes.get(parameter.name)),
        )
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields)
        signature = Signature(model, purpose, call)
        signature.schema()
    except PydanticUserError as error:
        reason = str(error).splitlines()[0]
        raise ToolError(f"{name} takes what has no JSON form: {reason}", "Use plain types, enums, models.") from None
    return signature


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """The purpose, and what is said of each argument (Google or Sphinx style)."""
    purpose: list[str] = []
    notes: dict[str, str] = {}
    section, last = "", ""
    for line in text.splitlines():
        heading = _SECTION.match(line)
        tagged = line.strip().startswith((":param", "@param"))
        found = _ARGUMENT.match(line) if tagged or section in ("Args", "Arguments", "Parameters") else None
        if heading:
            section = heading[1]
        elif found:
            last = found[1]
            notes[last] = found[2].strip()
        elif line.strip().startswith((":return", ":raise", "@return", "@raise")):
            section = "Returns"
        elif not section and not notes:
            purpose.append(line.strip())
        elif last and line.startswith("  ") and line.strip() and section != "Returns":
            notes[last] += f" {line.strip()}"
    return " ".join(" ".join(purpose).split()), notes
