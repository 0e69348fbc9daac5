"""Words around tools, by language: what counts as a yes, as a no, and what is said while a slow tool runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"\w+(?:['’]\w+)*")
LOOSE_ENDS = 2
"""Words that may follow "ok" or "sure" in a yes ("sure, book it"); more are taken for something else."""

Words = tuple[str, ...]


def _set(text: str) -> frozenset[Words]:
    """Phrases separated by commas, as tuples of words."""
    return frozenset(tuple(phrase.split()) for phrase in text.split(",") if phrase.split())


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language.

    `yes` means yes whatever follows, `agreed` only when little follows; with a word of `no` it is a no, with one of
    `doubts` neither. `empty` words mean nothing by themselves. `filler` is said while a slow tool runs.
    """

    yes: frozenset[Words]
    agreed: frozenset[Words]
    no: frozenset[Words]
    doubts: frozenset[Words]
    empty: frozenset[Words]
    filler: str


_EN = Phrases(
    yes=_set(
        "yes, yeah, yep, yup, yes please, go ahead, do it, do that, please do, confirm, confirmed, i confirm,"
        " absolutely, definitely, of course, by all means, go for it, affirmative"
    ),
    agreed=_set(
        "sure, ok, okay, alright, all right, correct, right, exactly, certainly, that's right, that is right,"
        " sounds good, fine, perfect, great"
    ),
    no=_set(
        "no, nope, nah, not, don't, never, stop, wait, hold on, won't, can't, cancel that, forget it, abort,"
        " never mind, isn't, wasn't, shouldn't"
    ),
    doubts=_set("but, except, instead, change, actually, if, unless, maybe, perhaps, what, which, who, when, how, why"),
    empty=_set("um, uh, er, erm, hm, hmm, mm, mhm, oh, ah, well, so, please, thanks, thank you, then, and, just"),
    filler="One moment.",
)
_BY_LANGUAGE = {
    "en": _EN,
    "de": Phrases(
        yes=_set(
            "ja, jawohl, jo, ja bitte, mach das, mach es, machen sie das, bestätigt, einverstanden, auf jeden fall,"
            " na klar, selbstverständlich, natürlich"
        ),
        agreed=_set("klar, sicher, genau, richtig, gerne, gern, okay, ok, in ordnung, gut, passt, perfekt, stimmt"),
        no=_set(
            "nein, nee, nö, nicht, kein, keine, keinen, stopp, stop, halt, warte, warten sie, niemals, lieber nicht"
        ),
        doubts=_set(
            "aber, außer, stattdessen, eigentlich, wenn, falls, vielleicht, was, wer, wann, wie, warum, welche"
        ),
        empty=_set("äh, ähm, hm, hmm, mhm, oh, ach, also, na, bitte, danke, dann, und"),
        filler="Einen Moment.",
    ),
    "fr": Phrases(
        yes=_set("oui, ouais, bien sûr, vas y, allez y, certainement, je confirme, absolument"),
        agreed=_set("d'accord, ok, okay, exact, exactement, c'est bon, parfait, c'est ça"),
        no=_set("non, pas, jamais, arrête, arrêtez, stop, attends, attendez"),
        doubts=_set("mais, sauf, plutôt, en fait, si, peut être, quoi, qui, quand, comment, pourquoi, quel, quelle"),
        empty=_set("euh, hum, ah, oh, ben, bon, alors, merci, s'il te plaît, s'il vous plaît, et"),
        filler="Un instant.",
    ),
    "es": Phrases(
        yes=_set("sí, claro, por supuesto, adelante, hazlo, hágalo, lo confirmo, desde luego"),
        agreed=_set("si, vale, ok, okay, de acuerdo, correcto, exacto, perfecto, está bien"),
        no=_set("no, nunca, para, espera, espere, jamás"),
        doubts=_set("pero, excepto, mejor, en realidad, quizás, tal vez, qué, quién, cuándo, cómo, cuál"),
        empty=_set("eh, este, ah, oh, pues, bueno, gracias, por favor, entonces, y"),
        filler="Un momento.",
    ),
    "it": Phrases(
        yes=_set("sì, certo, certamente, fallo, lo faccia, procedi, confermo"),
        agreed=_set("si, ok, okay, va bene, d'accordo, esatto, giusto, perfetto"),
        no=_set("no, non, mai, aspetta, aspetti, fermo, ferma"),
        doubts=_set("ma, tranne, invece, in realtà, se, forse, cosa, chi, quando, come, quale"),
        empty=_set("eh, ehm, ah, oh, beh, allora, grazie, per favore, e"),
        filler="Un momento.",
    ),
    "pt": Phrases(
        yes=_set("sim, claro, pode fazer, faça, com certeza, confirmo"),
        agreed=_set("certo, ok, okay, está bem, tá bom, exato, correto, pode, perfeito"),
        no=_set("não, nunca, pare, espera, espere, jamais"),
        doubts=_set("mas, exceto, na verdade, se, talvez, quê, quem, quando, como, qual"),
        empty=_set("eh, hum, ah, oh, bem, então, obrigado, obrigada, por favor, e"),
        filler="Um momento.",
    ),
    "nl": Phrases(
        yes=_set("ja, jawel, zeker, natuurlijk, doe maar, doe het, akkoord, ga je gang"),
        agreed=_set("oké, ok, okay, goed, klopt, precies, graag, prima"),
        no=_set("nee, niet, geen, nooit, stop, wacht"),
        doubts=_set("maar, behalve, eigenlijk, als, misschien, wat, wie, wanneer, hoe, welke"),
        empty=_set("eh, ehm, hm, oh, ah, nou, dus, dank je, dank u, alsjeblieft, alstublieft, en"),
        filler="Een ogenblik.",
    ),
}


def phrases(language: str) -> Phrases:
    """Those of a BCP 47 tag; English where the language is not known."""
    return _BY_LANGUAGE.get(language.split("-")[0], _EN)


def says_yes(text: str, language: str = "en") -> bool | None:
    """True for a plain yes, False for a no, None for anything else, such as a question or "yes, but".

    When in doubt it is no yes: the user is asked again.
    """
    own, words = phrases(language), _words_of(text)
    if _contains(words, own.no):
        return False
    beyond = _without(words, own.yes | own.agreed | own.empty)
    if text.rstrip().endswith("?") or _contains(beyond, own.doubts):
        return None
    words = _without(words, own.empty)
    if _begins(words, own.yes) or _ends(words, own.yes):
        return True
    rest = _without(words, own.agreed | own.empty)
    return True if len(rest) < len(words) and len(rest) <= LOOSE_ENDS else None


def says_nothing(text: str, language: str = "en") -> bool:
    """Whether it consists of words without a meaning of their own."""
    return not _without(_words_of(text), phrases(language).empty)


def _words_of(text: str) -> Words:
    return tuple(word.replace("’", "'") for word in _WORD.findall(text.casefold()))


def _begins(words: Words, wanted: frozenset[Words]) -> int:
    """Length of the longest wanted phrase at the start."""
    return max((len(phrase) for phrase in wanted if words[: len(phrase)] == phrase), default=0)


def _ends(words: Words, wanted: frozenset[Words]) -> bool:
    return any(words[-len(phrase) :] == phrase for phrase in wanted)


def _contains(words: Words, wanted: frozenset[Words]) -> bool:
    return any(_begins(words[start:], wanted) for start in range(len(words)))


def _without(words: Words, leading: frozenset[Words]) -> Words:
    """What is left behind such phrases at the start."""
    while length := _begins(words, leading):
        words = words[length:]
    return words
