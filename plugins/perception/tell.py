"""Facts told in sentences and lines."""

from __future__ import annotations

from animacy.core.vision.facts import Facts, Hand, Person
from animacy.core.vision.words import article, count, joined, number_word

_PLACE = {"left": "on the left", "right": "on the right", "middle": "in the middle"}
_DISTANCE = {"near": "close", "mid": "at some distance", "far": "far away"}
_CERTAIN = 0.5
"""From here on a thing is named without "perhaps"."""
_QUOTED = 60
"""Characters of a text that is quoted in a summary."""


def camera_summary(facts: Facts) -> str:
    """One to three sentences on a camera's picture."""
    parts = [_people(facts)] if facts.people else []
    shown = [_hand(hand) for hand in facts.hands if hand.gesture or hand.raised]
    if shown:
        parts.append(joined(shown))
    if facts.things:
        thing = facts.things[0]
        named = article(_coloured(thing.name, thing.colours))
        alone = not parts and not facts.lines
        # A guess alone would hide what is sure.
        unsure = f"nobody, but perhaps {named}" if alone else f"perhaps {named}"
        parts.append(named if thing.certainty >= _CERTAIN else unsure)
    if facts.lines:
        parts.append(f"a text that says {_quote(' '.join(line.text for line in facts.lines))}")
    sentences = [f"I see {'; and '.join(parts)}." if parts else "I see nobody and nothing that I know."]
    if facts.background:
        sentences.append(f"The background is {joined(facts.background)}.")
    return " ".join(sentences)


def camera_details(facts: Facts) -> tuple[str, ...]:
    """A line for each person, hand and thing, and the text."""
    people = [f"Person {k}: {_person(person)}" for k, person in enumerate(facts.people, 1)]
    hands = [
        f"Hand {k}: {_PLACE[hand.side]}, {count(hand.fingers, 'finger')} stretched"
        f"{', raised' if hand.raised else ''}{f', {hand.gesture}' if hand.gesture else ''}"
        for k, hand in enumerate(facts.hands, 1)
    ]
    things = [
        f"Thing: {thing.name} ({round(100 * thing.certainty)} % sure)"
        f"{f', {joined(thing.colours)}' if thing.colours else ''}"
        for thing in facts.things
    ]
    background = [f"Background: {joined(facts.background)}"] if facts.background else []
    return (*people, *hands, *things, *background, *_text(facts))


def screen_summary(facts: Facts) -> str:
    """One or two sentences on a screen."""
    if not facts.lines and not facts.tabs:
        return "I see a screen without any text that I can read."
    told = f"I see {article(facts.kind or 'screen')}"
    if facts.title:
        told += f" called {_quote(facts.title)}"
    if facts.tabs:
        active = next((tab.title for tab in facts.tabs if tab.active), None)
        if len(facts.tabs) == 1:
            told += f" with one tab, {_quote(facts.tabs[0].title)}"
        else:
            told += f" with {count(len(facts.tabs), 'tab')}" + (
                f"; the active one is {_quote(active)}" if active else ""
            )
    headings = [line for line in facts.lines if line.heading]
    others = sum(line.number > 0 for line in facts.lines) - len(headings[:1])
    shows = [f"the heading {_quote(headings[0].text)}"] if headings else []
    if others:
        shows.append(f"{count(others, 'more line' if headings else 'line')} of {_matter(facts)}")
    if facts.buttons:
        shows.append(
            f"the button{'' if len(facts.buttons) == 1 else 's'} {joined([_quote(b) for b in facts.buttons[:4]])}"
        )
    first = next((line for line in facts.lines if line.number == 1), None)
    quoted = f" The first line says {_quote(first.text)}." if first and not headings else ""
    return f"{told}. It shows {joined(shows)}.{quoted}" if shows else f"{told}."


def screen_details(facts: Facts) -> tuple[str, ...]:
    """Tabs, address, buttons, and the text in reading order with its numbers."""
    told = []
    if facts.tabs:
        told.append(f"Tabs: {', '.join(t.title + (' (open)' if t.active else '') for t in facts.tabs)}")
    if facts.address:
        told.append(f"Address: {facts.address}")
    if facts.buttons:
        told.append(f"Buttons: {', '.join(facts.buttons)}")
    return (*told, *_text(facts))


def _text(facts: Facts) -> list[str]:
    lines = [
        f"{f'Line {line.number}' if line.number else 'Beside it'}{' (heading)' if line.heading else ''}: {line.text}"
        for line in facts.lines
    ]
    return [*lines, f"({count(facts.unread, 'more line')} not read)"] if facts.unread else lines


def _matter(facts: Facts) -> str:
    return "code" if facts.kind == "code editor" else "text"


def _people(facts: Facts) -> str:
    first = facts.people[0]
    if len(facts.people) == 1:
        return f"one person {_person(first)}"
    places = [f"one {_PLACE[person.side]}, {_look(person)}" for person in facts.people[:3]]
    return f"{number_word(len(facts.people))} people: {'; '.join(places)}"


def _person(person: Person) -> str:
    wearing = f", wearing {joined(person.clothes)}" if person.clothes else ""
    return f"{_PLACE[person.side]}, {_DISTANCE[person.distance]}, {_look(person)}{wearing}"


def _look(person: Person) -> str:
    state = {"neutral": "with a calm face", "mouth open": "with an open mouth", "eyes closed": "with closed eyes"}
    eyes = "" if person.eyes_closed else f", looking {'' if person.gaze.startswith('at') else 'to the '}{person.gaze}"
    if person.gaze in ("up", "down") and not person.eyes_closed:
        eyes = f", looking {person.gaze}"
    return state.get(person.expression, person.expression) + eyes


def _hand(hand: Hand) -> str:
    if hand.gesture:
        return f"a hand showing {article(hand.gesture)}"
    return f"a raised hand with {count(hand.fingers, 'finger')} stretched"


def _coloured(name: str, colours: tuple[str, ...]) -> str:
    return f"{colours[0]} {name}" if colours and colours[0] not in name else name


def _quote(text: str) -> str:
    short = text if len(text) <= _QUOTED else f"{text[:_QUOTED].rsplit(' ', 1)[0]}..."
    return f"'{short}'"
