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


_SMALL_TALK = {
    "en": r"(?:who|what|how|where) are you\b(?! open)|(?:your|ur) name|call you|how old are you|are you (?:from|real"
    r"|alive|there|sure|okay|ok|happy|tired|well|(?:an? )?(?:robot|human|person|ai|machine))\b|how's it going"
    r"|can you (?:hear|see|understand|repeat|help me)\b|what can you do|do you (?:like|love|think|feel|remember|believe"
    r"|dream|sleep|eat)\b|your favou?rite|(?:made|built|created) you|you doing|with me\?",
    "de": r"wer bist du|was bist du|wer sind sie\b|wie geht|(?:dein|ihr) name|wie heißt du|wie heißen sie|bist du"
    r" (?:echt|da|ein)|(?:hörst|verstehst|siehst) du|können sie mich|was kannst du|magst du|denkst du|wer hat dich",
    "fr": r"qui es-tu|qui êtes-vous|comment ça va|comment (?:vas-tu|allez-vous)|ton nom|votre nom|t'appelles|vous"
    r" appelez|m'entend|que sais-tu faire|aimes-tu|aimez-vous",
    "es": r"quién eres|quién es usted|cómo estás|cómo está usted|tu nombre|su nombre|cómo te llamas|cómo se llama usted"
    r"|me oyes|me oye|qué puedes hacer|te gusta|le gusta",
}


def is_small_talk(text: str, language: str) -> bool:
    """Whether a question is put to the character about itself, such as no document answers ("How are you?")."""
    pattern = _SMALL_TALK.get(language.split("-")[0].lower())
    return pattern is not None and re.search(pattern, text.lower().replace("’", "'")) is not None
