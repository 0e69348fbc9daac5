"""Typed parameters of a tool as a recipe writes them, and the JSON Schema that they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, StringConstraints, model_validator
from pydantic_core import CoreSchema

from animacy.core.errors import ToolError
from animacy.core.tools.schema import check

Kind = Literal["string", "integer", "number", "boolean", "array", "object"]
NUMERIC = ("integer", "number")
PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float)}

ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class Parameter(BaseModel):
    """One argument of a tool. A type alone may be written instead: `city: string`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Kind
    description: str = ""
    enum: Annotated[tuple[str | int | float, ...] | None, Field(min_length=1)] = None
    pattern: Annotated[str | None, Field(description="Regular expression that all of a string must match.")] = None
    required: bool = True
    default: Any = None
    items: Annotated[Parameter | None, Field(description="What an array holds.")] = None
    properties: Annotated[Mapping[ParameterName, Parameter] | None, Field(description="What an object holds.")] = None
    minimum: float | None = None
    maximum: float | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Both forms, for editors."""
        whole = handler.resolve_ref_schema(handler(core))
        alone = {"type": "string", "enum": list(get_args(Kind))}
        both = {"anyOf": [alone, dict(whole)]}
        whole.clear()
        whole.update(both)
        return whole

    @model_validator(mode="before")
    @classmethod
    def _type_alone(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_its_type(self) -> Parameter:
        allowed: Mapping[str, tuple[str, ...]] = {
            "enum": ("string", *NUMERIC),
            "pattern": ("string",),
            "items": ("array",),
            "properties": ("object",),
            "minimum": NUMERIC,
            "maximum": NUMERIC,
        }
        for key, types in allowed.items():
            if getattr(self, key) is not None and self.type not in types:
                raise ValueError(f"`{key}` is for {' and '.join(types)}, not for {self.type}")
        for value in self.enum or ():
            if isinstance(value, bool) or not isinstance(value, PYTHON_TYPES[self.type]):
                raise ValueError(f"{value!r} in `enum` is no {self.type}; put words such as yes, no and on in quotes")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"`pattern` is no regular expression: {error}") from None
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("`minimum` is greater than `maximum`")
        if "default" in self.model_fields_set:
            try:
                check(json_schema({"default": self}), {"default": self.default})
            except ToolError as error:
                raise ValueError(error.args[0].replace("the argument 'default", "`default`").replace("'", "")) from None
        return self

    @property
    def needed(self) -> bool:
        """Whether a call must give it."""
        return self.required and "default" not in self.model_fields_set

    def json_schema(self) -> dict[str, Any]:
        """What it means, as JSON Schema."""
        schema: dict[str, Any] = {"type": self.type}
        if self.description:
            schema["description"] = self.description
        if self.enum is not None:
            schema["enum"] = list(self.enum)
        if self.pattern is not None:
            whole = self.pattern.startswith("^") and self.pattern.endswith("$")
            schema["pattern"] = self.pattern if whole else f"^(?:{self.pattern})$"
        if "default" in self.model_fields_set:
            schema["default"] = self.default
        if self.items is not None:
            schema["items"] = self.items.json_schema()
        if self.properties is not None:
            schema |= json_schema(self.properties)
        for key in ("minimum", "maximum"):
            bound = getattr(self, key)
            if bound is not None:
                schema[key] = int(bound) if bound == int(bound) else bound
        return schema


Parameters = Mapping[ParameterName, Parameter]


def json_schema(parameters: Parameters) -> dict[str, Any]:
    """The JSON Schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": {name: parameter.json_schema() for name, parameter in parameters.items()},
        "required": [name for name, parameter in parameters.items() if parameter.needed],
        "additionalProperties": False,
    }
