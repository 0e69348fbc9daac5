"""Arguments held against a JSON Schema: defaults filled in, the harmless put right, the rest refused in plain words.

A language model writes "3" for 3, null for nothing and "Red" for "red". Such things are put right, since asking it
again costs a second; what would be a guess is refused, with a message that names the argument.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from animacy.core.errors import ToolError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

MAX_ARGUMENTS = 20_000
"""Longest arguments of a call, in characters of JSON."""
MAX_DEPTH = 24
INTEGER = re.compile(r"[+-]?\d{1,15}")
NUMBER = re.compile(r"[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})([eE][+-]?\d{1,2})?")
YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
KINDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
KINDS |= {"array": "a list", "object": "an object", "null": "nothing"}
LIMITS = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "less than"}
COUNTS = {"minLength": "at least {} long", "maxLength": "at most {} long"}
COUNTS |= {"minItems": "at least {} in number", "maxItems": "at most {} in number"}
_NOTHING = object()

Schema = Mapping[str, Any]


def check(schema: Schema, arguments: Any) -> dict[str, Any]:
    """The arguments as the tool gets them: a new object that the schema accepts.

    `schema` is that of an object, without references (`flat`). Raises ToolError naming the argument that is wrong.
    """
    if isinstance(arguments, str):
        arguments = _from_json(arguments, dict)
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise ToolError("the arguments must be an object")
    try:
        size = len(json.dumps(dict(arguments), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ToolError("the arguments are not plain JSON") from None
    if size > MAX_ARGUMENTS:
        raise ToolError(f"the arguments are too long, at most {MAX_ARGUMENTS:,} characters")
    fitted = cast(dict[str, Any], _fit(json.loads(json.dumps(dict(arguments))), schema, 0))
    errors = _validator(schema).iter_errors(fitted)
    error = min(errors, key=lambda error: (len(error.absolute_path), list(map(str, error.absolute_path))), default=None)
    if error is not None:
        raise ToolError(_in_words(error))
    return fitted


def flat(schema: Schema) -> dict[str, Any]:
    """The schema of an object with its local references put in place, as every language model takes it.

    Raises ToolError when it is none, or refers to itself or to elsewhere.
    """
    result: dict[str, Any] = _inline(dict(schema), schema, ())
    result.pop("$defs", None)
    result.pop("definitions", None)
    result.setdefault("type", "object")
    result.setdefault("properties", {})
    if result["type"] != "object" or not isinstance(result["properties"], Mapping):
        raise ToolError("the schema of a tool's parameters must be that of an object")
    from jsonschema.exceptions import SchemaError

    try:
        _validator(result).check_schema(result)
    except SchemaError as error:
        raise ToolError(f"the schema of its parameters is not right: {error.message[:200]}") from None
    return result


def _inline(node: Any, root: Schema, open_references: tuple[str, ...]) -> Any:
    if len(open_references) > MAX_DEPTH:
        raise ToolError("the schema of its parameters is nested too deeply")
    if isinstance(node, list):
        return [_inline(child, root, open_references) for child in node]
    if not isinstance(node, Mapping):
        return node
    reference = node.get("$ref")
    if not isinstance(reference, str):
        hidden = ("$defs", "definitions")
        return {key: _inline(value, root, open_references) for key, value in node.items() if key not in hidden}
    if reference in open_references:
        raise ToolError(f"the schema of its parameters refers to itself ({reference})")
    if not reference.startswith("#/"):
        raise ToolError(f"the schema of its parameters refers to something outside ({reference[:80]})")
    target: Any = root
    for key in reference[2:].split("/"):
        key = key.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, Mapping) or key not in target:
            raise ToolError(f"the schema of its parameters lacks {reference[:80]}")
        target = target[key]
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return _inline({**target, **beside}, root, (*open_references, reference))


def _fit(value: Any, schema: Any, depth: int) -> Any:
    """The value with defaults and harmless corrections; unchanged where nothing helps."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return value
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return _fit_any(value, schema, schema[key], depth)
    types = schema.get("type", ())
    if not isinstance(types, str):
        return _fit_any(value, schema, [{**schema, "type": kind} for kind in types], depth) if types else value
    fitted = _fit_kind(value, types, schema, depth)
    return _one_of(value if fitted is _NOTHING else fitted, schema.get("enum"))


def _fit_any(value: Any, schema: Schema, branches: list[Any], depth: int) -> Any:
    whole = _validator(schema)
    if whole.is_valid(value):
        return value
    for branch in branches:
        fitted = _fit(value, branch, depth + 1)
        if whole.is_valid(fitted):
            return fitted
    return value


def _fit_kind(value: Any, kind: str, schema: Schema, depth: int) -> Any:
    """The value as that kind, or _NOTHING when it cannot harmlessly be taken for one."""
    if kind == "object":
        given = _from_json(value, dict) if isinstance(value, str) else value
        return _fit_object(given, schema, depth) if isinstance(given, dict) else _NOTHING
    if kind == "array":
        given = _from_json(value, list) if isinstance(value, str) else value
        return [_fit(item, schema.get("items"), depth + 1) for item in given] if isinstance(given, list) else _NOTHING
    if kind == "null":
        return None if value is None else _NOTHING
    if isinstance(value, bool):
        return value if kind == "boolean" else _NOTHING
    return SCALARS[kind](value) if kind in SCALARS else _NOTHING


def _fit_object(given: dict[str, Any], schema: Schema, depth: int) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema.get("properties") or {}
    result = {}
    for name, value in given.items():
        if value is None and name in properties and not _validator(properties[name]).is_valid(None):
            continue  # a model's way to leave something out
        result[name] = _fit(value, properties.get(name), depth + 1)
    for name, part in properties.items():
        if name not in result and isinstance(part, Mapping) and "default" in part:
            result[name] = copy.deepcopy(part["default"])
    return result


def _integer(value: Any) -> Any:
    if isinstance(value, str) and INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int) else _NOTHING


def _number(value: Any) -> Any:
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        number = _integer(value)
        return float(value) if number is _NOTHING else number
    return value if isinstance(value, int | float) and math.isfinite(value) else _NOTHING


def _boolean(value: Any) -> Any:
    word = str(value).strip().casefold()
    if isinstance(value, str) and word in (*YES, *NO):
        return word in YES
    return _NOTHING


def _string(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else _NOTHING


SCALARS = {"integer": _integer, "number": _number, "boolean": _boolean, "string": _string}


def _one_of(value: Any, choices: Any) -> Any:
    """The choice that a string means but for case and spaces."""
    if not isinstance(choices, list) or not isinstance(value, str) or value in choices:
        return value
    word = value.strip().casefold()
    alike = [choice for choice in choices if isinstance(choice, str) and choice.strip().casefold() == word]
    return alike[0] if len(alike) == 1 else value


def _from_json(text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, kind) else text


def _validator(schema: Any) -> Draft202012Validator:
    from jsonschema import Draft202012Validator  # every command line would wait for it

    return Draft202012Validator(schema)


def _in_words(error: ValidationError) -> str:
    """What is wrong, naming the argument."""
    path = ".".join(map(str, error.absolute_path))
    rule, wanted = error.validator, cast(Any, error.validator_value)
    schema = cast(Mapping[str, Any], error.schema)
    instance = cast(Any, error.instance)
    subject = f"the argument {path!r}" if path else "the arguments"
    prefix = f"{path}." if path else ""
    if rule == "required":
        missing = next((name for name in wanted if name not in instance), "")
        return f"the argument {prefix + missing!r} is missing"
    if rule == "additionalProperties" and wanted is False:
        known = list(schema.get("properties", {}))
        extra = next((name for name in instance if name not in known), "")
        return f"there is no argument {prefix + extra!r}; known: {', '.join(known) or 'none'}"
    if rule == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        return f"{subject} must be {' or '.join(KINDS.get(kind, kind) for kind in kinds)}"
    if rule in ("enum", "const"):
        choices = wanted if rule == "enum" else [wanted]
        return f"{subject} must be one of {', '.join(map(str, choices))[:400]}"
    if rule == "pattern":
        return f"{subject} must have the form {str(wanted)[:100]}"
    if rule in LIMITS:
        return f"{subject} must be {LIMITS[rule]} {wanted}"
    if rule in COUNTS:
        return f"{subject} must be {COUNTS[rule].format(wanted)}"
    return f"{subject} does not fit: {error.message[:200]}"
