"""Words of texts and questions, made comparable: small letters, no accents, the stem, nothing that says nothing."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

import snowballstemmer

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f]+")

_LANGUAGES = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}


def terms(text: str, language: str) -> list[str]:
    """The words of a text that say something, in order; of scripts without spaces, pairs of signs.

    `language` is a BCP 47 tag; of a language that is not known words stay as they are.
    """
    tag = language.split("-")[0].lower()
    found: list[str] = []
    for word in _WORD.findall(text.lower().replace("’", "'")):
        if _UNSPACED.match(word):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        elif term := _term(word, tag):
            found.append(term)
    return found


def questions(text: str, language: str) -> list[str]:
    """The questions asked in one breath ("Where is it, and what does it cost?"); the whole text if it is one."""
    joint = _lexicon(language.split("-")[0].lower()).joint
    parts = [part.strip() for part in joint.split(text)] if joint is not None else []
    return parts if len(parts) > 1 and all(terms(part, language) for part in parts) else [text]


@lru_cache(100_000)
def _term(word: str, tag: str) -> str:
    """A word's stem without accents; nothing for a word that says nothing."""
    lexicon = _lexicon(tag)
    if word in lexicon.empty:
        return ""
    if word in lexicon.numbers:
        return lexicon.numbers[word]
    word = word.removesuffix("'s")
    if "'" in word and tag in ("fr", "it"):
        word = word.rpartition("'")[2]
    stemmer = _stemmer(tag)
    stem = stemmer.stemWord(word) if stemmer is not None else word
    return _folded(lexicon.same.get(stem, stem))


def _folded(word: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign))


@dataclass(frozen=True, slots=True)
class _Lexicon:
    empty: frozenset[str]
    numbers: Mapping[str, str]
    same: Mapping[str, str]
    joint: re.Pattern[str] | None


@cache
def _lexicon(tag: str) -> _Lexicon:
    """What is known of a language's words; nothing of most."""
    text = resources.files("animacy.core.knowledge").joinpath("words.toml").read_text("utf-8")
    known = tomllib.loads(text).get(tag, {})
    return _Lexicon(
        frozenset(known.get("empty", "").split()),
        {word: str(number) for number, word in enumerate(known.get("numbers", "").split())},
        {other: group.split()[0] for group in known.get("same", ()) for other in group.split()[1:]},
        re.compile(
            rf",\s*{known['and']}\s+|\s{known['and']}\s+(?=(?:{'|'.join(known['asking'].split())})\b)", re.IGNORECASE
        )
        if "and" in known
        else None,
    )


@cache
def _stemmer(tag: str) -> snowballstemmer.stemmer | None:
    name = _LANGUAGES.get(tag)
    return snowballstemmer.stemmer(name) if name in snowballstemmer.algorithms() else None
