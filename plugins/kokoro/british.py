"""American phonemes to British ones, by rule: the packaged dictionary is American, and British voices read both.

Kokoro's British voices were trained without the r after vowels, with long vowels marked, "a" for the vowel of TRAP and
"Q" for that of GOAT. Where the spelling decides (LOT or PALM, BATH or TRAP), the word is looked at.
"""

from __future__ import annotations

import re

_VOWEL = "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻᵊ"
_BEFORE_VOWEL = rf"(?=[ˈˌ]?[{_VOWEL}])"

_BATH = re.compile(
    r"(?:after|answer|ask|aunt|basket|bath|branch|brass|calf|can't|cast|castle|chance|class|craft|dance|draft|"
    r"example|fast|fasten|france|french|glass|grant|grasp|grass|half|last|laugh|mask|master|nasty|pass|past|path|"
    r"plant|plaster|raft|rather|sample|shaft|shan't|staff|task|vast|advance|advantage|command|demand|disaster|"
    r"draught|glance|slant|lance|masterpiece|photograph|paragraph|autograph|telegraph)"
    r"(?:s|es|ed|ing|er|ers|'s|ly|room|time|noon|wards|works)*"
)


def british(word: str, phonemes: str, before_vowel: bool) -> str:
    """`phonemes` of the American `word` as a British voice wants them; `before_vowel` keeps a final r that links."""
    spelled = word.lower()
    p = phonemes.replace("T", "t").replace("O", "Q").replace("ᵻ", "ɪ")
    p = re.sub(rf"ɜɹ{_BEFORE_VOWEL}", "ʌɹ" if re.search(r"urr|orr|our", spelled) else "ɜːɹ", p)
    if _BATH.fullmatch(spelled):
        p = p.replace("æ", "ɑː", 1)
    p = re.sub(r"ɑ(?![ɹː])", "ɒ" if re.search(r"o|wa|wha|qua", spelled) else "ɑː", p)
    p = re.sub(r"ɔ(?![ɹː])", "ɔː" if re.search(r"ou|oa|aw|au|al|wa|oo", spelled) else "ɒ", p)
    # The r after a vowel falls silent, and lengthens the vowel, unless a vowel follows.
    silent = rf"ɹ(?![ˈˌ]?[{_VOWEL}])" if not before_vowel else rf"ɹ(?![ˈˌ]?[{_VOWEL}]|$)"
    for vowel, long in (("ɑ", "ɑː"), ("ɔ", "ɔː"), ("ɜ", "ɜː"), ("ɛ", "ɛː"), ("ɪ", "ɪə"), ("ʊ", "ʊə")):
        p = re.sub(vowel + silent, long, p)
        p = re.sub(rf"{vowel}ɹ$", f"{long}ɹ", p)
    p = re.sub(r"ɔɹ", "ɔːɹ", p)
    p = re.sub(rf"(?<=[IWY]){silent}", "ə", p)
    p = re.sub(silent, "", p)
    if re.search(r"[tdn](?:u|ew|eu)", spelled):
        p = re.sub(r"([tdn])([ˈˌ]?)u", r"\1j\2u", p)
    p = re.sub(r"([ˈˌ][iu])(?!ː)", r"\1ː", p)
    return p.replace("æ", "a")
