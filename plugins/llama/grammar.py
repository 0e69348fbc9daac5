"""Grammars (GBNF, llama.cpp) that hold the model to a form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_REST = r"[^ \t\n.,;:!?*#`-] [^\n]*"
"""An answer goes on after its opening, on the same line."""

GOES_ON = f'root ::= " " {_REST}'
"""What follows an opening that was said already."""


def begins_with(openings: Sequence[str]) -> str:
    """Answers that begin with one of the openings and go on with something else."""
    return f'root ::= ({_either(openings)}) " " {_REST}'


def one_of(words: Sequence[str]) -> str:
    """Exactly one of these."""
    return f"root ::= {_either(words)}"


def matching(schema: Mapping[str, Any]) -> str:
    """JSON of a schema, on one line."""
    import xllamacpp

    grammar: str = xllamacpp.json_schema_to_grammar(json.dumps(dict(schema)))
    # As the examples are written: the rule for space allows line breaks, which cost a token each.
    return re.sub(r"^space ::= .*$", 'space ::= " "?', grammar, flags=re.MULTILINE)


def _either(words: Sequence[str]) -> str:
    return " | ".join(json.dumps(word, ensure_ascii=False) for word in words)
