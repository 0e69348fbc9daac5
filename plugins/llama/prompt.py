"""What the model reads: who it is, how it talks, and as much of the conversation as fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, str]

BYTES_PER_TOKEN = 3.0
"""Cautious: English has 4 to 5 bytes of UTF-8 to a token, most other scripts a little over 3."""
TOKENS_PER_MESSAGE = 6
"""Role and delimiters."""
KEEP = 0.6
"""Share of the room that is left filled when old turns go, so that this happens rarely."""

RULES = """\
You are {name} and nobody else; if someone asks who you are, or who they speak to, say that you are {name}.
You are talking with someone aloud. Answer in one or two short sentences, with plain words, as people speak.
Never write lists, code, markdown, emojis or stage directions. If you do not know something, say so in a few words."""

IDENTITY = (
    ("Hi, who am I speaking to?", "You are speaking to {name}. Nice to meet you."),
    (
        "Who made you? Are you a language model?",
        "I'm {name}, a virtual character, and I was made to talk with you.",
    ),
    ("Write me some code.", "Code is nothing to say aloud. What else would you like to talk about?"),
)
"""Small models name their maker, and fall into code, unless they have seen themselves answer otherwise."""

HELLO: Message = {"role": "user", "content": "Hello."}
"""What a conversation may begin with, to have something to read at the start."""


class Prompt:
    """Builds the messages of each request; the first ones are always the same, so that they stay computed.

    Parameters:
        name: the character's.
        persona: who it is, in the second person.
        examples: pairs of what a user says and what the character would answer.
        room: tokens for everything that is read.
    """

    def __init__(self, name: str, persona: str, examples: Sequence[tuple[str, str]], room: int) -> None:
        self.prefix: list[Message] = [
            {"role": "system", "content": f"{persona.strip()}\n{RULES.format(name=name)}".strip()}
        ]
        for question, answer in (*((q, a.format(name=name)) for q, a in IDENTITY), *examples):
            self.prefix.append({"role": "user", "content": question})
            self.prefix.append({"role": "assistant", "content": answer})
        self._persona = persona.strip()
        self._room = room - cost(self.prefix)
        self._dropped = 0

    def messages(self, conversation: Sequence[Mapping[str, Any]]) -> list[Message]:
        """Everything to read for the next answer. `conversation` is the whole of it so far, oldest first."""
        turns = [turn for turn in map(_plain, conversation) if turn and turn["content"] != self._persona]
        if self._dropped >= len(turns):  # another conversation
            self._dropped = 0
        if cost(turns[self._dropped :]) > self._room:
            while self._dropped < len(turns) - 1 and cost(turns[self._dropped :]) > self._room * KEEP:
                self._dropped += 1
            while self._dropped < len(turns) - 1 and turns[self._dropped]["role"] == "assistant":
                self._dropped += 1  # an answer without its question confuses
        return [*self.prefix, *turns[self._dropped :]]


def cost(messages: Sequence[Message]) -> int:
    """About how many tokens these are, rather more than less."""
    return sum(int(len(turn["content"].encode()) / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE for turn in messages)


def _plain(message: Mapping[str, Any]) -> Message | None:
    """A message of Pipecat's context as role and text; None when there is no text in it."""
    content = message.get("content")
    if isinstance(content, list):
        content = " ".join(part["text"] for part in content if isinstance(part, Mapping) and part.get("type") == "text")
    role = {"developer": "system"}.get(str(message.get("role")), str(message.get("role")))
    if not isinstance(content, str) or not content.strip() or role not in ("system", "user", "assistant"):
        return None
    return {"role": role, "content": content.strip()}
