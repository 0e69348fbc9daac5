"""What a call came to, as a language model reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

MAX_CHARACTERS = 2000
"""Longest result that goes into a conversation."""

Status = Literal["done", "failed", "timed out", "cancelled", "refused", "asks"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a call ended. `value` is plain JSON or text, for the model; `error` is fit to be spoken.

    `refused` means it was not called at all, `asks` that the user's yes is needed first: `error` is the question then.
    """

    status: Status
    value: Any = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.status == "done"

    def for_model(self) -> dict[str, Any]:
        """What goes into the conversation. Never empty: Pipecat takes an empty result for none."""
        if self.ok:
            return {"result": "done" if self.value is None else self.value}
        if self.status == "asks":
            return {"needs_confirmation": self.value, "question": self.error}
        return {"error": self.error or "That did not work."}


def plain(value: Any) -> Any:
    """Anything a tool returns as JSON of at most MAX_CHARACTERS; cut text when there is more, or no JSON form."""
    if value is None or isinstance(value, bool | int | float | str):
        text = value if isinstance(value, str) else str(value)
        finite = value == value and value not in (float("inf"), float("-inf"))
        return _cut(text) if isinstance(value, str) or not finite or len(text) > MAX_CHARACTERS else value
    try:
        text = json.dumps(value, default=str, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return _cut(str(value))
    return json.loads(text) if len(text) <= MAX_CHARACTERS and _encodable(text) else _cut(text)


def _cut(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 8]} … (cut)"


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
