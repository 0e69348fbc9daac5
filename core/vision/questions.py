"""Questions about what is seen, answered from a look's facts without a language model. English only.

Only whole questions of a known form are taken; anything else is left to the language model, which is told the look.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

from animacy.core.vision import answers
from animacy.core.vision.contract import Look, PictureSource

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_NTH = rf"(?P<nth>{'|'.join(_ORDINALS)}|\d+(?:st|nd|rd|th)|last|top|bottom)"
_NUMBER = rf"(?P<number>\d+|{'|'.join(_NUMBERS)})"
_TEXT = (
    r"(?: (?:of|on|in) (?:the |this |my |that )?(?:text|page|screen|code|list|document|file|slide|sign|note|paper))?"
)
_ALOUD = r"(?: (?:to|for) me)?(?: (?:out )?(?:aloud|loud))?"
_GARMENT = r"(?:shirt|t ?shirt|top|sweater|jumper|pullover|dress|jacket|coat|hoodie|clothes|clothing|suit|blouse)"
_SCREEN = r"(?:(?:the|my|this) )?(?:shared )?(?:screen|window|page|slide)"
_SEEN = r"(?: (?:right )?now| here| there| in front of you| in (?:the|this|my) (?:picture|image|camera|photo))*"
_CAN = r"(?: (?:can|do) you see| are there| are we| am i| do you count)?"

_Answer = Callable[[Look, "Match[str]"], "str | None"]


def _number(match: Match[str]) -> int:
    """The line that is meant: 1 is the first, -1 the last."""
    groups = match.groupdict()
    word = groups.get("nth") or groups.get("number") or ""
    if word in ("last", "bottom"):
        return -1
    if word == "top":
        return 1
    if word in _ORDINALS:
        return _ORDINALS.index(word) + 1
    if word in _NUMBERS:
        return _NUMBERS.index(word) + 1
    return int(re.sub(r"\D", "", word))


def _fixed(make: Callable[[Look], str | None]) -> _Answer:
    return lambda look, _: make(look)


def _line(look: Look, match: Match[str]) -> str | None:
    return answers.line(look, _number(match))


_FORMS: tuple[tuple[str, PictureSource | None, _Answer], ...] = (
    (rf"what (?:do|can) you see on {_SCREEN}", "screen", _fixed(answers.scene)),
    (rf"what(?: is|'s) (?:there )?on {_SCREEN}", "screen", _fixed(answers.scene)),
    (rf"(?:describe|summari[sz]e|look at) {_SCREEN}", "screen", _fixed(answers.scene)),
    (r"what am i (?:sharing|presenting)", "screen", _fixed(answers.scene)),
    (rf"can you see {_SCREEN}", "screen", _fixed(answers.scene)),
    (rf"what (?:do|can) you see{_SEEN}", "camera", _fixed(answers.scene)),
    (r"describe (?:what you (?:can )?see|the (?:picture|scene|image))", "camera", _fixed(answers.scene)),
    (r"(?:look at (?:me|this)|what am i showing(?: you)?)", "camera", _fixed(answers.scene)),
    (rf"read (?:me |out )?(?:the )?{_NTH} line{_TEXT}{_ALOUD}", "screen", _line),
    (rf"read (?:me |out )?(?:the )?line (?:number )?{_NUMBER}{_TEXT}{_ALOUD}", "screen", _line),
    (rf"what(?: is|'s|'re| does) (?:on |in )?(?:the )?{_NTH} line{_TEXT}(?: say)?", "screen", _line),
    (rf"what(?: is|'s| does) (?:on |in )?(?:the )?line (?:number )?{_NUMBER}{_TEXT}(?: say)?", "screen", _line),
    (
        r"(?:read (?:me |out )?(?:the|this) (?:title|heading|headline)"
        r"|what(?: is|'s) the (?:title|heading|headline)|what does the (?:title|heading|headline) say)"
        + _TEXT
        + _ALOUD,
        "screen",
        _fixed(answers.heading),
    ),
    (
        r"(?:what does (?:it|this|that|the (?:sign|note|paper|card|page|screen|text|slide)) say"
        rf"|read (?:it|this|that|(?:me )?(?:the|this|my) (?:text|sign|note|paper|card|page|screen|slide)){_ALOUD}"
        r"|what(?: is|'s) written (?:there|here|on (?:it|this|(?:the|this|my) (?:sign|note|paper|card|page|screen))))",
        "screen",
        _fixed(answers.text),
    ),
    (
        r"(?:(?:which|what)(?: browser)? tab (?:is|do i have) (?:currently )?(?:open|active|selected|in front)(?: now)?"
        r"|(?:which|what) tab am i (?:on|in|looking at|using|viewing)"
        r"|what(?: is|'s) the (?:open|active|current|selected) tab(?: called)?)",
        "screen",
        _fixed(answers.active_tab),
    ),
    (
        r"(?:how many|which|what) tabs (?:are (?:there|open)(?: open)?|do i have(?: open)?|(?:can|do) you see)",
        "screen",
        _fixed(answers.tabs),
    ),
    (r"(?:how many|which|what) buttons (?:are there|(?:can|do) you see)", "screen", _fixed(answers.buttons)),
    (rf"how many (?:people|persons|faces){_CAN}(?: with me)?{_SEEN}", "camera", _fixed(answers.people)),
    (r"(?:is (?:anyone|anybody|someone|somebody) (?:there|here|with me)|am i alone)", "camera", _fixed(answers.people)),
    (r"(?:can|do) you see me", "camera", _fixed(answers.people)),
    (
        r"(?:how many fingers(?: am i (?:holding|showing|putting)(?: up)?| (?:do|can) you see| are (?:there|these)"
        r"| is (?:this|that))?|count my fingers)",
        "camera",
        _fixed(answers.fingers),
    ),
    (
        r"(?:what (?:gesture|hand sign)(?: is (?:this|that)| am i (?:making|showing))"
        r"|am i (?:giving|showing|making) (?:you )?(?:a |the )?(?P<gesture>thumbs? up|thumbs? down|victory sign"
        r"|peace sign|fist|ok sign)|am i (?P<pointing>pointing))",
        "camera",
        lambda look, match: answers.gesture(look, match["gesture"] or match["pointing"]),
    ),
    (
        r"(?:is my hand (?:raised|up)|(?:have i|did i) raised? my hand|am i raising my hand)",
        "camera",
        _fixed(answers.raised),
    ),
    (
        rf"what colou?r (?:is|are) (?:my|this|the) {_GARMENT}(?: i am wearing)?"
        rf"|what colou?r(?: {_GARMENT})? am i wearing|what am i wearing",
        "camera",
        _fixed(answers.clothes),
    ),
    (r"what colou?r is (?:the|my) (?:background|wall|room)(?: behind me)?", "camera", _fixed(answers.background)),
    (
        r"what colou?r is (?:it|this|that|(?:the |this |that )(?:thing|object))(?: i am holding(?: up)?| in my hand)?",
        "camera",
        lambda look, _: answers.colour(look, None),
    ),
    (
        r"what colou?r is (?:the|my|this|that) (?P<thing>[a-z ]+?)(?: (?:that )?i am holding(?: up)?| in my hand)",
        "camera",
        lambda look, match: answers.colour(look, match["thing"]),
    ),
    # The sky's colour is no question to a camera: answered when such a thing was seen, but no reason to look.
    (r"what colou?r is the (?P<thing>[a-z ]+)", None, lambda look, match: answers.colour(look, match["thing"])),
    (
        r"(?:am i (?P<now>smiling|frowning|surprised|winking|happy)"
        r"|do i (?:look|seem) (?P<looks>happy|sad|angry|surprised|unhappy))(?: (?:right )?now)?",
        "camera",
        lambda look, match: answers.expression(look, match["now"] or match["looks"]),
    ),
    (r"is my mouth (?P<mouth>open|closed)", "camera", lambda look, match: answers.mouth(look, match["mouth"])),
    (r"are my eyes (?P<eyes>open|closed)", "camera", lambda look, match: answers.eyes(look, match["eyes"])),
    (
        r"(?:how do i look|what(?: is|'s) (?:my|the) (?:facial )?expression|what face am i making)",
        "camera",
        lambda look, _: answers.expression(look, None),
    ),
    (r"(?:where am i looking|am i looking at (?:you|the camera))", "camera", _fixed(answers.gaze)),
    (
        r"(?:what am i holding(?: up)?(?: in my hands?)?|what(?: is|'s) in my hands?"
        r"|what (?:object |thing |animal )?is (?:this|that)(?: (?:thing|object|animal))?|what's (?:this|that)"
        r"|what do i have in my hands?)",
        "camera",
        _fixed(answers.thing),
    ),
)
_COMPILED = tuple((re.compile(pattern), source, make) for pattern, source, make in _FORMS)
_POLITE = re.compile(
    r"^(?:(?:hey|hi|hello|ok|okay|so|and|well|now|then|please|just|um|uh)[ ,]+"
    r"|(?:can|could|would|will) you (?:please )?(?=read|tell|describe|look|summari|count)"
    r"|tell me (?=what|which|how|where)|do you know (?=what|which|how))+"
)


def is_visual(question: str) -> PictureSource | None:
    """Which picture a question asks about, None when it is no question about what is seen (or not an English one).

    "What do you see?" fits both: it says "camera", and whoever has only a screen takes that.
    """
    found = _find(question)
    return found[0] if found else None


def answer(look: Look, question: str) -> str | None:
    """A spoken answer from the facts of a look; None when the question has no known form."""
    found = _find(question)
    return found[2](look, found[1]) if found else None


def _find(question: str) -> tuple[PictureSource | None, Match[str], _Answer] | None:
    # Whoever is spoken to may be named first ("Iris, what do you see?").
    for words in (_normal(question), _normal(re.sub(r"^\s*(?:hey |ok(?:ay)? )?\w+,", "", question))):
        for pattern, source, make in _COMPILED:
            match = pattern.fullmatch(words)
            if match:
                return source, match, make
    return None


def _normal(question: str) -> str:
    """Lower case, no punctuation, no politeness."""
    words = question.lower().replace("’", "'").replace("-", " ")
    words = re.sub(r"[^\w', ]+", " ", words)
    words = re.sub(r"(?<!\w)i'm(?!\w)", "i am", words)
    words = re.sub(r"\s+", " ", words).strip(" ,")
    words = _POLITE.sub("", words)
    words = re.sub(r"[, ]+(?:please|for me|(?:right )?now|today|then)$", "", words).replace(",", "")
    return re.sub(r"\s+", " ", words).strip()
