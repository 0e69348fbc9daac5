"""Written English to spoken words: numbers, times, dates, money, units and abbreviations, and what cannot be spoken.

A list of small rules, applied in order; each rewrites one kind of thing, so the order says which reading wins.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from loguru import logger

from animacy.core.spoken.numbers import cardinal, decimal, digits, ordinal, plural, year
from animacy.core.spoken.plain import without_markup

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str] | str]

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MONTH = "|".join([*MONTHS, *(f"{m[:3]}\\.?" for m in MONTHS if m != "May"), "Sept\\.?"])
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALE = {"k": "thousand", "m": "million", "bn": "billion", "tn": "trillion"}
_MONEY = {"$": ("dollar", "cent"), "£": ("pound", "pence"), "€": ("euro", "cent"), "¥": ("yen", "sen")}

ABBREVIATIONS = {
    "Dr.": "Doctor",
    "Mr.": "Mister",
    "Mrs.": "Missus",
    "Ms.": "Miz",
    "Prof.": "Professor",
    "Jr.": "Junior",
    "Sr.": "Senior",
    "Mt.": "Mount",
    "e.g.": "for example",
    "i.e.": "that is",
    "etc.": "et cetera",
    "vs.": "versus",
    "approx.": "approximately",
    "a.k.a.": "also known as",
    "No.": "number",
    "ca.": "circa",
    "c.": "circa",
    "fig.": "figure",
    "Fig.": "Figure",
    "vol.": "volume",
    "Vol.": "Volume",
    "w/o": "without",
    "w/": "with",
}
_ONLY_BEFORE_DIGITS = {"No.", "ca.", "c.", "fig.", "Fig.", "vol.", "Vol."}

UNITS = {
    "km/h": "kilometer per hour",
    "m/s": "meter per second",
    "mph": "mile per hour",
    "km": "kilometer",
    "cm": "centimeter",
    "mm": "millimeter",
    "m": "meter",
    "kg": "kilogram",
    "mg": "milligram",
    "g": "gram",
    "ml": "milliliter",
    "l": "liter",
    "lb": "pound",
    "lbs": "pound",
    "oz": "ounce",
    "ft": "foot",
    "mi": "mile",
    "kHz": "kilohertz",
    "Hz": "hertz",
    "GB": "gigabyte",
    "MB": "megabyte",
    "°C": "degree Celsius",
    "°F": "degree Fahrenheit",
    "°": "degree",
    "%": "percent",
    "min": "minute",
    "hrs": "hour",
    "m2": "square meter",
    "km2": "square kilometer",
}
_FRACTIONS = {"½": "one half", "¼": "one quarter", "¾": "three quarters", "⅓": "one third", "⅔": "two thirds"}
_ROMAN = {"II": 2, "III": 3, "IV": 4, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "XI": 11, "XII": 12, "XIII": 13}
_ROMAN |= {"XIV": 14, "XV": 15, "XVI": 16, "XVII": 17, "XVIII": 18}
_COUNTED = {"War", "Chapter", "Part", "Act", "Scene", "Volume", "Book", "Phase", "Type", "Figure", "Room"}

# Words spelled alike and said differently, where the word before or after decides. Each is replaced by one that sounds
# as meant, because the dictionary is asked word by word.
_HOMOGRAPHS: tuple[tuple[str, str], ...] = (
    (r"((?:'ve|'ve just|\b[Hh]ave|\b[Hh]ad|\b[Hh]as|\b[Hh]e|\b[Ss]he|\b[Ii]t was|\b[Ii]s) )read\b", r"\1red"),
    (r"(\b(?:I|[Yy]ou|[Ww]e|[Tt]hey|[Tt]o|[Cc]an|[Pp]eople|[Aa]rtists|[Pp]ainters) )use\b", r"\1ewes"),
    (r"\bUse(?= (?:a|an|it|the|this|that|your|my)\b)", "ewes"),
    (r"\b[Ll]ive(?= (?:music|shows?|concerts?|audience|stream|performances?|broadcast|video)\b)", "lyve"),
)


def _integer(text: str) -> str:
    number = int(text)
    if len(text) == 4 and 1100 <= number < 2100:
        return year(number)
    if (len(text) > 1 and text[0] == "0") or len(text) > 9:
        return digits(text)
    return cardinal(number)


def _say_number(text: str) -> str:
    return _integer(text) if text.isdigit() else decimal(text)


def _money(match: re.Match[str]) -> str:
    unit, cent = _MONEY[match["sign"]]
    amount = match["amount"].replace(",", "")
    if scale := match["scale"]:
        return f"{decimal(amount)} {_SCALE.get(scale.lower(), scale)} {plural(unit)}"
    whole, _, part = amount.partition(".")
    said = f"{cardinal(int(whole))} {unit if whole == '1' else plural(unit)}"
    if len(part) == 2 and int(part):
        cents = f"{cardinal(int(part))} {cent if int(part) == 1 else plural(cent)}"
        return cents if int(whole) == 0 else f"{said} and {cents}"
    return said if not part or not int(part) else f"{decimal(amount)} {plural(unit)}"


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    half = match["half"] or ""
    if not minute:
        return cardinal(hour) + (half or (" o'clock" if 0 < hour <= 12 else " hundred hours"))
    return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}{half}"


def _month(text: str) -> str:
    return next(month for month in MONTHS if month.startswith(text.rstrip(".")[:3]))


def _day_of_month(match: re.Match[str]) -> str:
    said = f"{_month(match['month'])} {ordinal(int(match['day']))}"
    return f"{said}, {year(int(match['year']))}" if match["year"] else said


def _iso_date(match: re.Match[str]) -> str:
    written, month, day = (int(part) for part in match.groups())
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return " ".join(digits(part) for part in match.groups())
    return f"{MONTHS[month - 1]} {ordinal(day)}, {year(written)}"


def _decade(match: re.Match[str]) -> str:
    *head, last = year(int(match["year"])).split()
    return " ".join([*head, plural(last)])


def _unit(match: re.Match[str]) -> str:
    amount, words = match["amount"], UNITS[match["unit"]].split(" ")
    counted = 1 if words[0] == "square" else 0
    if amount != "1":
        words[counted] = plural(words[counted])
    return f"{decimal(amount)} {' '.join(words)}"


def _fraction(match: re.Match[str]) -> str:
    top, bottom = int(match[1]), int(match[2])
    names = {2: "half", 4: "quarter"}
    if not 0 < top < bottom <= 20 or (bottom == 2 and top != 1):
        return f"{cardinal(top)} over {cardinal(bottom)}"
    name = names.get(bottom, ordinal(bottom))
    return f"{cardinal(top)} {name if top == 1 else plural(name)}"


def _roman(match: re.Match[str]) -> str:
    number = _ROMAN[match["roman"]]
    said = cardinal(number) if match["word"] in _COUNTED else f"the {ordinal(number)}"
    return f"{match['word']} {said}"


def _abbreviation(match: re.Match[str]) -> str:
    text = match[0]
    return text if text in _ONLY_BEFORE_DIGITS and not match["digit"] else ABBREVIATIONS[text]


def _address(match: re.Match[str]) -> str:
    text = re.sub(r"^(?:https?://)?(?:www\.)?", "", match[0]).rstrip("/")
    return text.replace(".", " dot ").replace("/", " slash ").replace("-", " dash ").replace("@", " at ")


def _rules() -> tuple[Rule, ...]:
    units = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
    short = "|".join(re.escape(word) for word in sorted(ABBREVIATIONS, key=len, reverse=True))
    roman = "|".join(sorted(_ROMAN, key=len, reverse=True))
    table: tuple[tuple[str, Callable[[re.Match[str]], str] | str], ...] = (
        (r"(?:https?://|www\.)[^\s,;!?)]*[^\s,;:.!?)]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", _address),
        (rf"(?<![\w.])(?:{short})(?=(?P<digit>\s*\d)?)(?![\w.])", _abbreviation),
        (r"\bSt\.(?= [A-Z])", "Saint"),
        (r"\bSt\.", "Street"),
        (r"(?<=\d)\s?([ap])\.?m\b\.?", lambda m: f" {m[1].upper()}.M."),
        (r"\b(\d{4})-(\d\d)-(\d\d)\b", _iso_date),
        (r"\b(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?P<half> [AP]\.M\.)?", _time),
        (rf"\b(?P<month>{_MONTH}) (?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b(?:,? (?P<year>\d{{4}})\b)?", _day_of_month),
        (rf"\b(?P<day>[0-3]?\d)(?:st|nd|rd|th)? (?P<month>{_MONTH})\b(?:,? (?P<year>\d{{4}})\b)?", _day_of_month),
        (
            rf"(?P<sign>[$£€¥])\s?(?P<amount>{_NUMBER})(?:\s?(?P<scale>k|m|bn|tn|thousand|million|billion|trillion)\b)?",
            _money,
        ),
        (r"(?<=\d)\s?[–—-]\s?(?=\d)", " to "),
        (r"(?<=\d)\s?[x×]\s?(?=\d)|(?<=m)\s?×\s?(?=\d)", " by "),
        (rf"(?<![\w.])(?P<amount>{_NUMBER})\s?(?P<unit>{units})(?!\w)", _unit),
        (r"\b(?P<year>\d{3}0)[’']?s\b", _decade),
        (r"(?<!\w)[’'](?P<year>\d0)s\b", lambda m: plural(cardinal(int(m["year"])))),
        (r"\b(\d+)(?:st|nd|rd|th)\b", lambda m: ordinal(int(m[1])) if len(m[1]) < 13 else digits(m[1])),
        (r"(?<![\d/])(\d{1,2})/(\d{1,2})(?![\d/])", _fraction),
        (rf"\b(?P<word>[A-Z][a-z]+) (?P<roman>{roman})\b", _roman),
        (r"[½¼¾⅓⅔]", lambda m: f" {_FRACTIONS[m[0]]} "),
        (r"#\s?(?=\d)", "number "),
        (r"(?<![\w.])-(?=\d)", "minus "),
        (r"\d+(?:\.\d+){2,}", lambda m: " point ".join(digits(part) for part in m[0].split("."))),
        (_NUMBER, lambda m: f" {_say_number(m[0])} "),
        (r"&", " and "),
        (r"\s\+\s|(?<=\w)\+", " plus "),
        (r"=", " equals "),
        (r"(?<=\w)/(?=\w)", " slash "),
        (r"\s[-–]{1,3}\s|\s?—\s?|--+", " — "),
        (r"\.{3,}", "…"),
        (r"([!?])[!?]+", r"\1"),
        *_HOMOGRAPHS,
    )
    return tuple((re.compile(pattern), change) for pattern, change in table)


_RULES = _rules()
_KEPT_MARKS = frozenset(".,;:!?—…'\"“”()- ")


def speakable(text: str) -> str:
    """`text` as words to be spoken, in Latin letters and punctuation only.

    Numbers and the like are written out; markdown, emoji and scripts other than Latin are left out (the latter with a
    warning in the log). The result may be empty.
    """
    for fraction, said in _FRACTIONS.items():  # before NFKC makes "1⁄2" of them
        text = text.replace(fraction, f" {said} ")
    text = without_markup(unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'"))
    for pattern, change in _RULES:
        text = pattern.sub(change, text)
    return re.sub(r"\s+(?=[.,;:!?…])", "", " ".join(_only_latin(text).split()))


def _only_latin(text: str) -> str:
    skipped: list[str] = []
    kept: list[str] = []
    for char in unicodedata.normalize("NFD", text):
        if char in _KEPT_MARKS or (char.isascii() and char.isalpha()):
            kept.append(char)
        elif char in _LATIN:
            kept.append(_LATIN[char])
        elif not unicodedata.combining(char):
            kept.append(" ")  # also keeps the words on both sides apart
            if char.isalpha():
                skipped.append(char)
    if skipped:
        logger.warning(f"the voice cannot speak {''.join(skipped)[:40]!r}; it is left out")
    return "".join(kept)


_LATIN = {
    "ß": "ss",
    "æ": "ae",
    "Æ": "Ae",
    "ø": "o",
    "Ø": "O",
    "œ": "oe",
    "Œ": "Oe",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "ð": "th",
}
_LATIN |= {"þ": "th", "ı": "i"}
