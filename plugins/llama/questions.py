"""Whether what somebody said is a question, told by its form alone and at once."""

from __future__ import annotations

import re

_FIRST_WORDS = {
    "en": "who whom whose what which where why how is are was were am do does did can could would should isn't "
    "aren't don't doesn't didn't can't couldn't",
    "de": "wer wen wem wessen was welche welcher welches welchen wo wohin woher warum wieso weshalb wann wie ist sind "
    "war waren hat haben kann kannst können könnte könntest darf willst weißt gibt",
    "fr": "qui que qu'est-ce quoi quel quelle quels quelles où pourquoi quand comment combien est-ce peux-tu "
    "pouvez-vous sais-tu savez-vous connais-tu",
    "es": "quién quiénes qué cuál cuáles dónde adónde cuándo cómo cuánto cuánta cuántos cuántas puedes puede podrías "
    "sabes hay",
}
"""Words that hardly begin anything but a question. "When" is none of them: it begins as many memories."""

_LEAD_IN = {
    "en": "and but so well okay ok please hey hi hello um uh",
    "de": "und aber also na ja okay bitte hallo äh",
    "fr": "et mais alors bon bonjour euh",
    "es": "y pero pues bueno hola eh",
}
"""Words before the one that tells."""


def is_question(text: str, language: str) -> bool:
    """Whether `text` asks something. `language` is a BCP 47 tag; of an unknown one only the question mark is known."""
    text = text.strip().rstrip("\"'”’») ")
    if text.endswith(("?", "？", "؟")) or "¿" in text:
        return True
    if text.endswith(("!", "！")):
        return False
    tag = language.split("-")[0].lower()
    lead_in = _LEAD_IN.get(tag, "").split()
    words = re.findall(r"[\w'-]+", text.lower().replace("’", "'"))
    first = next((word for word in words if word not in lead_in), "")
    return first in _FIRST_WORDS.get(tag, "").split()
