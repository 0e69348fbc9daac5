"""Which questions need a look, and what is answered from a look's facts."""

import pytest

from animacy.core.vision.contract import Look
from animacy.core.vision.facts import Facts, Hand, Person, Tab, TextLine, Thing
from animacy.core.vision.questions import answer, is_visual

SCREEN = Look(
    "screen",
    "I see a browser window.",
    facts=Facts(
        lines=(
            TextLine(1, "Open invoices", heading=True),
            TextLine(2, "Invoice 1042 is due."),
            TextLine(3, "The total is 12."),
        ),
        tabs=(Tab("Inbox"), Tab("Invoices", active=True)),
        buttons=("Pay now",),
    ),
)
CAMERA = Look(
    "camera",
    "I see one person.",
    facts=Facts(
        people=(Person("middle", "near", "smiling", "at the camera", smiling=True, clothes=("orange",)),),
        hands=(Hand("left", 2, True, "victory sign"),),
        things=(Thing("banana", 0.9, ("yellow",)),),
        background=("grey", "blue"),
        lines=(TextLine(1, "MEETING AT NOON"),),
    ),
)


@pytest.mark.parametrize(
    "question, source",
    [
        ("What do you see?", "camera"),
        ("Iris, what can you see right now?", "camera"),
        ("Okay, so, what do you see on my screen?", "screen"),
        ("Can you read the second line, please?", "screen"),
        ("Read line three to me.", "screen"),
        ("What does the last line say?", "screen"),
        ("Which tab is open?", "screen"),
        ("Could you tell me which tab is active?", "screen"),
        ("How many people are there?", "camera"),
        ("How many fingers am I holding up?", "camera"),
        ("What colour is my shirt?", "camera"),
        ("Am I smiling?", "camera"),
        ("What am I holding?", "camera"),
        ("What is this?", "camera"),
        ("What does it say?", "screen"),
    ],
)
def test_questions_about_what_is_seen(question, source):
    assert is_visual(question) == source


@pytest.mark.parametrize(
    "question",
    [
        "",
        "Hello!",
        "How many people live in France?",
        "What do you see as the biggest risk?",
        "What is this museum about?",
        "Read the second chapter of the book.",
        "Which tab should I open first?",
        "I see.",
        "What colour goes well with green?",
        "What colour is the sky?",
        "Am I late?",
        "Was siehst du?",
        "¿Qué ves?",
        "Que vois-tu ?",
    ],
)
def test_other_questions_need_no_look(question):
    assert is_visual(question) is None
    assert answer(CAMERA, question) is None


@pytest.mark.parametrize(
    "look, question, expected",
    [
        (SCREEN, "What do you see?", "I see a browser window."),
        (SCREEN, "Read the second line.", "Line 2 says: Invoice 1042 is due."),
        (SCREEN, "Read the last line", "The last line says: The total is 12."),
        (SCREEN, "read line 7", "I can only see three lines; there is no line 7."),
        (SCREEN, "Which tab is open?", "The open tab is Invoices."),
        (SCREEN, "How many tabs are open?", "There are two tabs: Inbox and Invoices."),
        (SCREEN, "What's the title?", "The title says: Open invoices"),
        (SCREEN, "What does it say?", "It says: Open invoices, Invoice 1042 is due. The total is 12."),
        (SCREEN, "Which buttons are there?", "There is one button: Pay now."),
        (SCREEN, "How many people do you see?", "I can't see anyone on the screen."),
        (CAMERA, "How many people are there?", "I see one person."),
        (CAMERA, "How many fingers am I holding up?", "I see two fingers."),
        (CAMERA, "What colour is my shirt?", "You are wearing orange."),
        (CAMERA, "What color is the background?", "The background is grey and blue."),
        (CAMERA, "What colour is the banana?", "The banana is yellow."),
        (CAMERA, "What colour is the sky?", None),
        (CAMERA, "Am I smiling?", "Yes, you are smiling."),
        (CAMERA, "Do I look sad?", "No, you are smiling."),
        (CAMERA, "Am I looking at you?", "You are looking at me."),
        (CAMERA, "What am I holding?", "I think it is a yellow banana."),
        (CAMERA, "What gesture is this?", "I see a victory sign."),
        (CAMERA, "Am I giving a thumbs up?", "No, I see a victory sign."),
        (CAMERA, "What does the sign say?", "It says: MEETING AT NOON."),
        (CAMERA, "Which tab is open?", "I can't see any tabs in the picture."),
    ],
)
def test_answers(look, question, expected):
    assert answer(look, question) == expected


@pytest.mark.parametrize("question", ["Am I smiling?", "How many fingers?", "What is this?", "What does it say?"])
def test_nothing_seen_is_said(question):
    said = answer(Look("camera", "I see nobody."), question)
    assert said and "can't" in said
