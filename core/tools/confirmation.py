"""The user's yes before a consequential tool is called.

A call asks; the next words of the user answer; the same call made again, in the turn of a yes, is let through once.
Other arguments ask anew, and a call never confirms itself: between asking and calling the user has spoken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from animacy.core.tools.contract import Tool
from animacy.core.tools.phrases import says_nothing, says_yes
from animacy.core.tools.wording import LONGEST, spoken, worded

PATIENCE = 3
"""Things a user may say before an open question is forgotten."""

Key = tuple[str, str]


class Confirmation:
    """What was asked, and what the user has said to it."""

    def __init__(self, language: str = "en") -> None:
        self._language = language
        self._turn = 0
        self._asked: dict[Key, int] = {}  # the turn each was asked in
        self._granted: set[Key] = set()

    def user_said(self, text: str) -> None:
        """A new turn of the user began with these words, as they were understood."""
        self._turn += 1
        answer = says_yes(text, self._language)
        if answer:
            self._granted |= set(self._asked)
            self._asked.clear()
            return
        if says_nothing(text, self._language):
            return
        self._granted.clear()
        if answer is False:
            self._asked.clear()
        self._asked = {key: turn for key, turn in self._asked.items() if self._turn - turn < PATIENCE}

    def admits(self, name: str, arguments: Mapping[str, Any]) -> bool:
        """Whether this call may be made now; if not, it counts as asked for."""
        key = (name, json.dumps(arguments, sort_keys=True, default=str))
        if key in self._granted:
            self._granted.discard(key)
            return True
        # A yes is meant for what was asked last, so what was asked in an earlier turn is not open any more.
        self._asked = {asked: turn for asked, turn in self._asked.items() if turn == self._turn}
        self._asked[key] = self._turn
        return False


def question(tool: Tool, arguments: Mapping[str, Any]) -> str:
    """What the user is asked: the tool's own question, or one that holds for any."""
    if tool.question and (own := worded(tool.question, arguments)):
        return own
    details = ", ".join(f"{key.replace('_', ' ')} {spoken(value)}" for key, value in arguments.items())
    action = tool.name.replace("_", " ")
    return f"Shall I go on with {action}{': ' + details if details else ''}?"[:LONGEST]
