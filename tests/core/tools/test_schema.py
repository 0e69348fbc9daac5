"""Parameters of a recipe, and arguments of a model held against them."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from animacy.core.errors import ToolError
from animacy.core.tools.parameters import Parameters, json_schema
from animacy.core.tools.schema import check, flat

ORDER = {
    "number": {"type": "string", "pattern": "[0-9]{4}"},
    "size": {"type": "string", "enum": ["small", "large"], "default": "small"},
    "count": {"type": "integer", "minimum": 1, "maximum": 9},
    "price": {"type": "number", "required": False},
    "gift": {"type": "boolean", "required": False},
    "tags": {"type": "array", "items": "string", "required": False},
    "to": {
        "type": "object",
        "properties": {"city": "string", "zip": {"type": "integer", "default": 1}},
        "default": {"city": "Rome"},
    },
}


def schema_of(parameters):
    return json_schema(TypeAdapter(Parameters).validate_python(parameters))


def test_the_harmless_is_put_right_and_defaults_are_filled_in():
    given_ = {"number": 4527, "size": "Large ", "count": "3", "price": "2.5", "gift": "yes", "tags": "[1]", "to": None}
    before = copy.deepcopy(given_)
    assert check(schema_of(ORDER), given_) == {
        "number": "4527",
        "size": "large",
        "count": 3,
        "price": 2.5,
        "gift": True,
        "tags": ["1"],
        "to": {"city": "Rome"},
    }
    assert given_ == before
    assert check(schema_of(ORDER), '{"number": "0007", "count": 2.0, "to": {"city": "Bonn"}}') == {
        "number": "0007",
        "count": 2,
        "size": "small",
        "to": {"city": "Bonn", "zip": 1},
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"number": None}, "'number' is missing"),
        ({"number": "45"}, "'number' must have the form"),
        ({"size": "huge"}, "'size' must be one of small, large"),
        ({"count": "three"}, "'count' must be a whole number"),
        ({"count": 12}, "'count' must be at most 9"),
        ({"count": True}, "'count' must be a whole number"),
        ({"price": "nan"}, "'price' must be a number"),
        ({"gift": 2}, "'gift' must be true or false"),
        ({"to": {"city": {}}}, "'to.city' must be text"),
        ({"to": {}}, "'to.city' is missing"),
        ({"colour": "red"}, "no argument 'colour'; known: number"),
        ({"number": "1" * 30_000}, "too long"),
        ({"price": float("inf")}, "not plain JSON"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, words):
    with pytest.raises(ToolError, match=words):
        check(schema_of(ORDER), {"number": "4527", "count": 1, **change})


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ({"type": "string", "enum": ["left", True]}, "in quotes"),
        ({"type": "boolean", "enum": ["a"]}, "`enum` is for string"),
        ({"type": "string", "pattern": "("}, "no regular expression"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "greater than"),
        ({"type": "integer", "default": "soon"}, "`default` must be a whole number"),
        ({"type": "text"}, "'string'"),
        ({"type": "string", "size": 3}, "not permitted"),
    ],
)
def test_a_recipe_is_told_what_is_wrong_with_a_parameter(parameter, words):
    with pytest.raises(ValidationError, match=words):
        schema_of({"x": parameter})


def test_references_are_put_in_place_and_none_leads_away():
    pydantic_like = {
        "$defs": {
            "Place": {"type": "object", "properties": {"city": {"$ref": "#/$defs/City"}}},
            "City": {"type": "string"},
        },
        "properties": {"place": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None}},
    }
    schema = flat(pydantic_like)
    assert "$ref" not in json.dumps(schema)
    assert check(schema, {"place": {"city": 7}}) == {"place": {"city": "7"}}
    assert check(schema, {}) == {"place": None}
    for bad in ("#/$defs/Loop", "https://elsewhere.example/schema", "#/$defs/None"):
        with pytest.raises(ToolError, match=r"itself|outside|lacks"):
            flat({"$defs": {"Loop": {"items": {"$ref": "#/$defs/Loop"}}}, "properties": {"x": {"$ref": bad}}})
    with pytest.raises(ToolError, match="must be that of an object"):
        flat({"type": "array"})


names = st.sampled_from(["a", "b", "city"])
scalars = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.sampled_from(["3", "2.5", "true", "Red", "", "x"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "enum": ["red", "3", "x"]},
        {"type": "string", "pattern": "[a-z0-9]*"},
        {"type": "integer", "minimum": 0},
        {"type": "integer", "default": 3},
        {"type": "number", "required": False},
        {"type": "boolean", "default": False},
    ]
)
parameters = st.dictionaries(
    names,
    st.recursive(
        leaves,
        lambda inner: (
            st.builds(lambda item: {"type": "array", "items": item}, inner)
            | st.builds(
                lambda properties: {"type": "object", "properties": properties},
                st.dictionaries(names, inner, max_size=2),
            )
        ),
        max_leaves=4,
    ),
    max_size=3,
)


@given(parameters, st.dictionaries(names, values, max_size=3))
def test_what_is_accepted_fits_and_stays_as_it_is(parameters, arguments):
    schema = schema_of(parameters)
    before = repr(arguments)
    try:
        fitted = check(schema, arguments)
    except ToolError as error:
        assert "argument" in error.args[0]
        return
    finally:
        assert repr(arguments) == before
    assert Draft202012Validator(schema).is_valid(fitted)
    assert check(schema, fitted) == fitted
