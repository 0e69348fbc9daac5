"""Sounds of listening ("mhm", "right"): said while the other speaks, and not meant to take the word."""

from __future__ import annotations

import re
from collections.abc import Iterable

_COMMON = "mhm mm mmm hm hmm mm-hmm m-hm uh-huh aha ah oh ok okay"
_BY_LANGUAGE = {
    "en": "yeah yep yup yes right sure great nice cool wow exactly totally indeed really I-see of-course got-it"
    " all-right alright uh um huh oh-yeah oh-okay oh-wow go-on I-know makes-sense uh-hum mm-mm",
    "de": "ja jaja jo genau stimmt klar richtig gut super schön toll ach ach-so achso echt äh ähm na-klar alles-klar"
    " verstehe ich-verstehe natürlich eben tja soso",
    "fr": "oui ouais d'accord exact exactement voilà bien très-bien super je-vois je-comprends bien-sûr ah-bon ah-oui"
    " euh hum tout-à-fait c'est-vrai vraiment",
    "es": "sí si claro vale ya bien muy-bien exacto exactamente bueno entiendo ya-veo de-acuerdo por-supuesto eh ajá"
    " anda qué-bien eso verdad",
    "it": "sì si certo esatto già bene va-bene d'accordo capisco ho-capito davvero giusto eh ehm",
    "pt": "sim claro certo exato pois pois-é bem tá tá-bom entendo entendi verdade é",
    "nl": "ja jawel precies klopt goed oké natuurlijk ik-snap-het echt leuk eh",
}
"""Phrases by language, their words joined by hyphens."""

_WORD = re.compile(r"\w+(?:['’]\w+)*")

Phrase = tuple[str, ...]


def words_of(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def phrases_of(texts: Iterable[str]) -> frozenset[Phrase]:
    """Phrases as they are looked for."""
    return frozenset(phrase for phrase in (tuple(words_of(text)) for text in texts) if phrase)


def backchannels(language: str) -> frozenset[Phrase]:
    """What counts as a backchannel in a language (BCP 47); sounds common to many where the language is not known."""
    known = f"{_COMMON} {_BY_LANGUAGE.get(language.split('-')[0], '')}"
    return phrases_of(phrase.replace("-", " ") for phrase in known.split())


def is_backchannel(text: str, phrases: frozenset[Phrase]) -> bool:
    """Whether a text consists of such phrases and of nothing else. False without any word."""
    words = words_of(text)
    longest = max((len(phrase) for phrase in phrases), default=0)
    reached = [True] + [False] * len(words)  # whether the first i words are such phrases
    for end in range(1, len(words) + 1):
        reached[end] = any(
            reached[end - length] and tuple(words[end - length : end]) in phrases
            for length in range(1, min(longest, end) + 1)
        )
    return bool(words) and reached[-1]
