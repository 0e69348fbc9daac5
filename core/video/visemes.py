"""From phonemes to mouth shapes: the sounds of the International Phonetic Alphabet, and what misaki writes otherwise.

Capitals A I O W Y Q are misaki's diphthongs (eɪ aɪ oʊ aʊ ɔɪ əʊ); the alphabet itself has none. Stress, length, tone and
tie marks are no sounds. Consonants go by where they are made, vowels by the opening and rounding of the lips.
"""

from __future__ import annotations

from collections.abc import Sequence

from animacy.core.video.contract import Viseme, VisemeShape

_SHAPES: dict[VisemeShape, str] = {
    "PP": "pbmɓʙɸβʘ",
    "FF": "fvɱʋⱱ",
    "TH": "θð",
    "DD": "tdɾʔTʈɖɗǀǃ",
    "kk": "kɡgŋxhɦqɢɴχɣħʕʜʢɠʛɰ",
    "CH": "ʧʤʃʒʨʥɕʑʂʐɧ",
    "SS": "szçʦʣʝɬɮ",
    "nn": "nlɫɲɳɭʎʟɟcʄɺǁǂ",
    "RR": "ɹrɚɝʁɻɽʀ",
    "aa": "aɑæɐʌɒɶ",
    "E": "eɛəɜᵊɘɤøœɞɵ",
    "I": "iɪjᵻɨ",
    "O": "oɔ",
    "U": "uʊwyʏʍɯʉɥ",
    "sil": ' .,!?;:—…"()“”‖|',
}
_OF: dict[str, VisemeShape] = {symbol: shape for shape, symbols in _SHAPES.items() for symbol in symbols}

_GLIDES: dict[str, tuple[VisemeShape, VisemeShape]] = {
    "A": ("E", "I"),
    "I": ("aa", "I"),
    "O": ("O", "U"),
    "Q": ("E", "U"),
    "W": ("aa", "U"),
    "Y": ("O", "I"),
}
_AFFRICATES = {"tʃ": "ʧ", "dʒ": "ʤ", "ts": "ʦ", "dz": "ʣ", "tɕ": "ʨ", "dʑ": "ʥ", "ʈʂ": "ʧ", "ɖʐ": "ʤ"}
"""One sound in two letters, where they are given as one phoneme."""

_FIRST_SHARE = 0.6
"""A diphthong dwells on its first half."""

_SILENT_MARKS = frozenset("ˈˌːˑʰʲʷˠˤˀ˞'`~-_↓→↗↘˥˦˧˨˩\u0303\u0325\u0329\u032a\u032f\u0361")


def shapes_of(phoneme: str) -> tuple[VisemeShape, ...]:
    """The mouth shapes of one phoneme of one or more symbols, in order; none for a mere mark or an unknown sign."""
    shapes: list[VisemeShape] = []
    for pair, one in _AFFRICATES.items():
        phoneme = phoneme.replace("\u0361", "").replace(pair, one)
    for symbol in phoneme:
        if symbol in _SILENT_MARKS:
            continue
        found = _GLIDES.get(symbol) or ((_OF[symbol],) if symbol in _OF else ())
        for shape in found:
            if not shapes or shapes[-1] != shape:
                shapes.append(shape)
    return tuple(shapes)


def visemes_of(phonemes: Sequence[tuple[str, float, float]]) -> list[Viseme]:
    """Mouth shapes of phonemes given as (symbols, start, end) in seconds, in order of time.

    Neighbours of one shape are joined, diphthongs split; marks without a sound of their own add nothing, and the time
    that a mark was given goes to the sound before it.
    """
    found: list[Viseme] = []
    for symbols, start, end in phonemes:
        shapes = shapes_of(symbols)
        if not shapes:
            if found and symbols and found[-1].end >= start - 1e-6:
                found[-1] = Viseme(found[-1].shape, found[-1].start, max(found[-1].end, end))
            continue
        for shape, begin, until in _split(shapes, start, end):
            last = found[-1] if found else None
            if last is not None and last.shape == shape and abs(last.end - begin) < 1e-3:
                found[-1] = Viseme(shape, last.start, until)
            else:
                found.append(Viseme(shape, begin, until))
    return found


def moved(visemes: Sequence[Viseme], seconds: float) -> tuple[Viseme, ...]:
    """The same shapes, later by `seconds` (earlier when negative), without what would end before the beginning."""
    return tuple(
        Viseme(viseme.shape, max(0.0, viseme.start + seconds), viseme.end + seconds)
        for viseme in visemes
        if viseme.end + seconds > 0
    )


def _split(shapes: tuple[VisemeShape, ...], start: float, end: float) -> list[tuple[VisemeShape, float, float]]:
    if len(shapes) == 2:
        middle = start + _FIRST_SHARE * (end - start)
        return [(shapes[0], start, middle), (shapes[1], middle, end)]
    step = (end - start) / len(shapes)
    return [(shape, start + k * step, start + (k + 1) * step) for k, shape in enumerate(shapes)]
