"""What happens to the model's words before anybody hears them, while they stream."""

from __future__ import annotations

import re

FENCE = "```"
"""Begins a block of code, which nobody wants to hear."""
_MARKUP = str.maketrans({"*": "", "#": "", "`": "", "\n": " ", "•": ""})

_MAKERS = r" (?:Alibaba|Qwen|OpenAI|Open AI|Anthropic|Google|DeepMind|Microsoft|Meta|DeepSeek|Mistral|Hugging Face)\b"
_MODELS = r" (?:Qwen|ChatGPT|GPT|Claude|Gemini|Bard|Llama|Copilot|DeepSeek|Mistral|Tongyi)\b"
_KIND = r" (?:large|AI|language|conversational|computer|artificial)"
_REST = r"[^.!?]*"

# Each claim is a row of regular expressions that follow each other, split where a token may end: a text that ends
# between two of them may still become the claim.
_NAMES = (
    ((r"\bI", r"(?:['’]m| am)", r"(?: called)?", _MODELS, _REST), "I'm {name}"),
    ((r"\b[Mm]y", r" name", r"(?:['’]s| is)", _MODELS, _REST), "my name is {name}"),
    (
        (r"\bI", r"(?:['’]m| am)", r"(?: just| only)?", r" an?", _KIND, rf"(?:{_KIND})?", r" (?:model\b|LLM\b)", _REST),
        "I'm {name}, a virtual character",
    ),
    ((r"\b[Aa]s", r" an", r" AI", r"(?: language)?", r"(?: model| assistant)?", r",", r" "), ""),
)
_MADE = (
    r"\b(?:made|created|developed|trained|built|designed|produced|powered)",
    r" by",
    r"(?: the| researchers at)?",
    _MAKERS,
    _REST,
)


def _partial(items: tuple[str, ...]) -> str:
    """A regular expression for the end of a text that may go on to become `items`."""
    under_way = r"(?: ?[\w'’]*)$"
    pattern = under_way
    for item in reversed(items[1:]):
        pattern = rf"(?:{item}{pattern}|{under_way})"
    return items[0] + pattern


_FULL_NAMES = [(re.compile("".join(items)), said) for items, said in _NAMES]
_FULL_MADE = re.compile("".join(_MADE))
_MAYBE = re.compile("|".join(_partial(items) for items in (*(items for items, _ in _NAMES), _MADE)))
_WORD_UNDER_WAY = re.compile(r"[\w'’-]+$")
_OF_ONESELF = re.compile(r"\b(?:I|me)\b[^.!?]*$")


class Claims:
    """Replaces a language model's claims about its name and maker by the character's name, and drops markup.

    Only what may become such a claim is held back, a few words at most; other words pass as soon as they are whole.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = ""
        self._held = ""

    def feed(self, text: str) -> str:
        """Take more of the answer, return what is safe to say."""
        self._held += text.translate(_MARKUP)
        self._replace(len(self._held) - 1)
        maybe = _MAYBE.search(self._held) or _WORD_UNDER_WAY.search(self._held)
        return self._pass(maybe.start() if maybe else len(self._held))

    def finish(self) -> str:
        """The answer is over: the rest of what is safe to say."""
        self._replace(len(self._held))
        return self._pass(len(self._held))

    def _replace(self, last: int) -> None:
        """Replace claims that end at `last` or before: one that reaches the end of the text may not be over."""
        for pattern, said in _FULL_NAMES:
            match = pattern.search(self._held)
            if match and match.end() <= last:
                self._put(match, said.format(name=self._name))
        match = _FULL_MADE.search(self._held)
        if match and match.end() <= last and _OF_ONESELF.search(self._said + self._held[: match.start()]):
            self._put(match, f"made to be {self._name}")

    def _put(self, match: re.Match[str], said: str) -> None:
        self._held = self._held[: match.start()] + said + self._held[match.end() :]

    def _pass(self, cut: int) -> str:
        safe, self._held = self._held[:cut], self._held[cut:]
        self._said = (self._said + safe)[-200:]
        return safe


_END = re.compile(r"""[.!?…]+["'”’)]*(?=\s)""")
_NO_END = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|No|vs|etc|e\.g|i\.e)|\b[A-Z])\.$")
HURRY = 0.7
"""Share of the allowed tokens after which the answer ends with the sentence."""


class Ending:
    """Ends an answer with a sentence: after enough of them, or rather early than in the middle of one.

    Parameters:
        max_tokens: the model is cut off after so many.
        max_sentences: the answer ends after so many.
    """

    def __init__(self, max_tokens: int, max_sentences: int) -> None:
        self._max_tokens = max_tokens
        self._max_sentences = max_sentences
        self._sentence = ""
        self._passed = 0
        self._hold = False
        self._sentences = 0
        self.done = False

    def feed(self, text: str, tokens: int) -> str:
        """Take more of the answer, `tokens` of which there are by now; return what to say. Sets `done`."""
        said = ""
        self._sentence += text
        while not self.done and (end := self._end()):
            said += self._sentence[self._passed : end]
            self._sentence, self._passed = self._sentence[end:], 0
            self._sentences += 1
            self.done = self._sentences >= self._max_sentences or tokens >= self._max_tokens * HURRY
            # From here on the model may be cut off before the sentence ends: say it whole or not at all.
            self._hold = tokens >= self._max_tokens / 2
        if not self.done and not self._hold:
            said += self._sentence[self._passed :]
            self._passed = len(self._sentence)
        return said

    def finish(self, cut_off: bool) -> str:
        """The model stopped, by itself or because it was `cut_off`; return the rest to say."""
        if self.done or (cut_off and self._hold):
            return ""
        return self._sentence[self._passed :]

    def _end(self) -> int | None:
        for match in _END.finditer(self._sentence):
            if not _NO_END.search(self._sentence[: match.end()]):
                return match.end()
        return None
