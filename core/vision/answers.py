"""The answers to questions about a look: short sentences that can be spoken."""

from __future__ import annotations

from collections.abc import Sequence

from animacy.core.vision.contract import Look
from animacy.core.vision.facts import Person, Thing
from animacy.core.vision.words import article, count, joined, number_word

LONGEST_TEXT = 400
"""Characters of text read aloud at most when all of it is asked for."""
_HAPPY = {"smiling", "happy"}
_SAD = {"frowning", "sad", "angry", "unhappy"}


def scene(look: Look) -> str:
    """What do you see?"""
    return look.summary


def line(look: Look, number: int) -> str:
    """Read line `number`; -1 is the last."""
    lines = [item for item in look.facts.lines if item.number]
    if not lines:
        return f"I can't see any text {_where(look)}."
    last = max(item.number for item in lines)
    found = next((item for item in lines if item.number == (last if number == -1 else number)), None)
    if found is None:
        return f"I can only see {count(len(lines), 'line')}; there is no line {number}."
    named = "The last line" if number == -1 else f"Line {number}"
    return f"{named} says: {found.text}" if found.text else f"{named} is empty."


def heading(look: Look) -> str | None:
    """What is the title?"""
    lines = look.facts.lines
    found = next((item.text for item in lines if item.heading), None) or look.facts.title
    found = found or (lines[0].text if lines else None)
    return f"The title says: {found}" if found else f"I can't see a title {_where(look)}."


def text(look: Look) -> str:
    """What does it say?"""
    lines = look.facts.lines
    if not lines:
        return f"I can't see any text {_where(look)}."
    whole = ""
    for done, item in enumerate(lines):
        if whole and len(whole) + len(item.text) > LONGEST_TEXT:
            return f"It says: {whole} And {count(len(lines) - done, 'more line')}."
        whole += (" " if not whole or whole[-1] in ".!?:;,…" else ", ") + item.text
    return f"It says:{whole}{'' if whole[-1] in '.!?' else '.'}"


def active_tab(look: Look) -> str:
    """Which tab is open?"""
    tabs = look.facts.tabs
    if not tabs:
        return f"I can't see any tabs {_where(look)}."
    found = next((tab.title for tab in tabs if tab.active), None)
    if found is None:
        return f"I see {count(len(tabs), 'tab')}, but I can't tell which is open: {_tab_names(look)}."
    return f"The open tab is {found}."


def tabs(look: Look) -> str:
    """Which tabs are open?"""
    found = look.facts.tabs
    return f"There {_are(len(found))} {count(len(found), 'tab')}: {_tab_names(look)}." if found else active_tab(look)


def buttons(look: Look) -> str:
    """Which buttons are there?"""
    found = look.facts.buttons
    if not found:
        return f"I can't see a button {_where(look)}."
    return f"There {_are(len(found))} {count(len(found), 'button')}: {joined(found)}."


def people(look: Look) -> str:
    """How many people are there? Is anyone there?"""
    found = look.facts.people
    if not found:
        return f"I can't see anyone {_where(look)}."
    if len(found) == 1:
        return "I see one person."
    return f"I see {number_word(len(found))} people."


def fingers(look: Look) -> str:
    """How many fingers?"""
    hands = look.facts.hands
    if not hands:
        return "I can't see a hand."
    total = sum(hand.fingers for hand in hands)
    return f"I see {count(total, 'finger')}." if total else "I see a closed hand, no fingers up."


def gesture(look: Look, asked: str | None) -> str:
    """What gesture is this? `asked` is the one that was named in the question, if any."""
    hands = look.facts.hands
    if not hands:
        return "I can't see a hand."
    found = [hand.gesture for hand in hands if hand.gesture]
    if asked is None:
        return f"I see {joined([article(name) for name in found])}." if found else "I see a hand, but no sign I know."
    wanted = asked.replace("thumb ", "thumbs ").replace("peace", "victory").replace("ok", "OK")
    wanted = "pointing finger" if wanted == "pointing" else wanted
    if wanted in found:
        return f"Yes, I see {article(wanted)}."
    return f"No, I see {joined([article(name) for name in found])}." if found else "No, I see a hand without that sign."


def raised(look: Look) -> str:
    """Is my hand raised?"""
    hands = look.facts.hands
    if not hands:
        return "I can't see a hand."
    return "Yes, your hand is up." if any(hand.raised for hand in hands) else "No, your hand is not up."


def clothes(look: Look) -> str:
    """What am I wearing?"""
    person = _nearest(look)
    if person is None:
        return _NOBODY
    return f"You are wearing {joined(person.clothes)}." if person.clothes else "I can't see your clothes."


def background(look: Look) -> str:
    """What colour is the background?"""
    found = look.facts.background
    return f"The background is {joined(found)}." if found else "I can't tell the background's colour."


def colour(look: Look, name: str | None) -> str | None:
    """What colour is it? With a name only when that thing was seen, for the sky's colour is no question to a camera."""
    things = look.facts.things
    if name is not None:
        things = tuple(thing for thing in things if name in thing.name or thing.name in name)
        if not things:
            return None
    if things and things[0].colours:
        return f"The {things[0].name} is {joined(things[0].colours)}."
    person = _nearest(look)
    if person is not None and person.clothes:
        return f"I can't make out the thing; you are wearing {joined(person.clothes)}."
    return background(look)


def expression(look: Look, asked: str | None) -> str:
    """Am I smiling? `asked` is the expression that the question named, None for "how do I look?"."""
    person = _nearest(look)
    if person is None:
        return _NOBODY
    told = _expression(person)
    if asked is None:
        return f"You look {told}." if person.expression == "neutral" else f"You are {told}."
    if asked in _HAPPY:
        yes = person.smiling
    elif asked in _SAD:
        yes = person.expression == "frowning"
    else:
        yes = person.expression == asked
    if yes:
        return f"Yes, you are {told}." if asked in (person.expression, "smiling") else f"Yes, you look {asked}."
    return f"No, you look {told}." if person.expression == "neutral" else f"No, you are {told}."


def mouth(look: Look, asked: str) -> str:
    """Is my mouth open?"""
    person = _nearest(look)
    if person is None:
        return _NOBODY
    state = "open" if person.mouth_open else "closed"
    return f"{'Yes' if state == asked else 'No'}, your mouth is {state}."


def eyes(look: Look, asked: str) -> str:
    """Are my eyes open?"""
    person = _nearest(look)
    if person is None:
        return _NOBODY
    state = "closed" if person.eyes_closed else "open"
    return f"{'Yes' if state == asked else 'No'}, your eyes are {state}."


def gaze(look: Look) -> str:
    """Where am I looking?"""
    person = _nearest(look)
    if person is None:
        return _NOBODY
    if person.gaze == "at the camera":
        return "You are looking at me."
    if person.gaze in ("left", "right"):
        return f"You are looking to the {person.gaze} side of the picture."
    return f"You are looking {person.gaze}."


def thing(look: Look) -> str:
    """What is this? What am I holding?"""
    things = look.facts.things
    if not things:
        return "I can't make out what that is."
    best: Thing = things[0]
    told = article(f"{best.colours[0]} {best.name}" if best.colours and best.colours[0] not in best.name else best.name)
    return f"I think it is {told}." if best.certainty >= 0.5 else f"I am not sure, but it may be {told}."


_NOBODY = "I can't see your face."


def _nearest(look: Look) -> Person | None:
    return look.facts.people[0] if look.facts.people else None


def _expression(person: Person) -> str:
    return {"neutral": "calm", "mouth open": "opening your mouth", "eyes closed": "closing your eyes"}.get(
        person.expression, person.expression
    )


def _where(look: Look) -> str:
    return "on the screen" if look.source == "screen" else "in the picture"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _tab_names(look: Look) -> str:
    names: Sequence[str] = [tab.title for tab in look.facts.tabs]
    return joined(names)
