"""Numbers as English words."""

from __future__ import annotations

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = ("", " thousand", " million", " billion", " trillion")
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int) -> str:
    """42 -> "forty two". From 10^15 on, and for negative numbers, digit by digit."""
    if not 0 <= number < 10**15:
        return digits(str(number))
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens] + (f" {ONES[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{ONES[hundreds]} hundred" + (f" and {cardinal(rest)}" if rest else "")
    groups: list[str] = []
    rest, scale = number, 0
    while rest:
        rest, group = divmod(rest, 1000)
        if group:
            groups.append(cardinal(group) + SCALES[scale])
        scale += 1
    small = 0 < number % 1000 < 100
    return " ".join(reversed(groups[1:])) + f" and {groups[0]}" if small else " ".join(reversed(groups))


def ordinal(number: int) -> str:
    """42 -> "forty second"."""
    *head, last = cardinal(number).split()
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*head, ORDINALS.get(last, regular)])


def year(number: int) -> str:
    """1889 -> "eighteen eighty nine", 2005 -> "two thousand and five", 1905 -> "nineteen oh five"."""
    century, rest = divmod(number, 100)
    if (century % 10 == 0 and rest < 10) or not 10 <= century < 100:
        return cardinal(number)
    if not rest:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def digits(text: str) -> str:
    """ "007" -> "zero zero seven"; what is no digit is left out."""
    return " ".join(ONES[int(c)] for c in text if c in "0123456789")


def decimal(text: str) -> str:
    """ "1,250.75" -> "one thousand two hundred and fifty point seven five"; a leading minus is said."""
    sign = "minus " if text.startswith("-") else ""
    whole, _, fraction = text.lstrip("-").replace(",", "").partition(".")
    whole = whole or "0"
    by_digits = (len(whole) > 1 and whole.startswith("0")) or len(whole) > 15
    said = digits(whole) if by_digits else cardinal(int(whole))
    return f"{sign}{said}" + (f" point {digits(fraction)}" if fraction else "")


def plural(word: str) -> str:
    """ "sixty" -> "sixties", "dollar" -> "dollars"."""
    if word in {"pence", "yen", "sen", "percent", "hertz", "Celsius", "Fahrenheit"}:
        return word
    irregular = {"foot": "feet", "inch": "inches", "six": "sixes"}
    return irregular.get(word, f"{word[:-1]}ies" if word.endswith("ty") else f"{word}s")
