"""How a small model chooses tools: in a conversation of its own, by example, one decision a message.

Native tool calling scores next to nothing on models of this size. Shown a few decisions they make good ones, as long as
nothing else is asked of them at the same time. The instructions and examples are always the same and stay computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from animacy.core.llm.contract import Message
from animacy.core.tools.contract import Tool

NONE = "none"
_RULES = """\
You decide which tool a visitor's words need. Write the tool and its arguments, or none when no tool is made for them: \
questions, opinions and small talk need none.
{tools}"""
_TALK = (
    "Hello!",
    "What do you think of it?",
    "When was that?",
    "Thanks, I like that.",
    "How much does it cost?",
    "Do you have one of those here?",
    "Which floor is it on?",
)
"""What needs no tool in any recipe."""
_YES, _NO = "Yes, please do.", "No, leave it."


def instructions(tools: Sequence[Tool]) -> list[Message]:
    """What is read before any decision: the tools, and examples of all of them among some of none."""
    listed = "\n".join(f"{tool.name} {_form(tool.parameters)}: {tool.description}" for tool in tools)
    messages: list[Message] = [{"role": "system", "content": _RULES.format(tools=listed)}]
    for tool, talk in zip_longest(tools, _TALK):
        for said, arguments in tool.examples if tool is not None else ():
            messages += _decision(said, call_text(tool.name, arguments))
        if talk is not None:
            messages += _decision(talk, NONE)
    asked = next((tool for tool in tools if tool.consequential and tool.examples), None)
    if asked is not None:
        said, arguments = asked.examples[0]
        call = call_text(asked.name, arguments)
        messages += [*_decision(said, call), *_decision(_YES, call), *_decision(said, call), *_decision(_NO, NONE)]
    return messages


def question(conversation: Sequence[Message], names: Sequence[str]) -> list[Message]:
    """The last words of the user, after the decision before them: "and the third floor?" needs it."""
    users = [place for place, message in enumerate(conversation) if message["role"] == "user"]
    asked = [conversation[users[-1]]]
    if len(users) < 2:
        return asked
    before = users[-2]
    calls = (
        message["content"]
        for message in conversation[before:]
        if message["role"] == "assistant" and message["content"].split(" ")[0] in names
    )
    return [*_decision(conversation[before]["content"], next(calls, NONE)), *asked]


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as the model writes it, and as it reads its own earlier ones."""
    return f"{name} {json.dumps(dict(arguments), ensure_ascii=False)}"


def _decision(said: str, text: str) -> list[Message]:
    return [{"role": "user", "content": said}, {"role": "assistant", "content": text}]


def _form(parameters: Mapping[str, Any]) -> str:
    """Arguments in short: {"floor": integer, "style": "a" or "b"}."""
    properties: Mapping[str, Any] = parameters.get("properties", {})
    return "{" + ", ".join(f'"{name}": {_kind(schema)}' for name, schema in properties.items()) + "}"


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    return str(schema.get("type", "string"))
