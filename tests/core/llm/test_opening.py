"""How an answer begins: the opening is said as soon as it is certain, and nothing is said twice or lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animacy.core.llm.opening import Opening, Openings
from animacy.core.llm.questions import is_question
from animacy.plugins.llama.grammar import begins_with

OPENINGS = ["Ah, good question!", "Oh, I love that one!", "Oh, hello!", "Well, let me see."]


def say(portions, openings=OPENINGS):
    opening = Opening(openings)
    return [opening.feed(portion) for portion in portions], opening.finish()


def test_it_is_said_before_it_is_written():
    said, rest = say(["Ah", ", good", " question", "!", " The", " sky"])
    assert said == ["Ah, good question! ", "", "", "", "The", " sky"]
    assert rest == ""


def test_it_waits_while_two_are_possible():
    said, _ = say(["Oh", ", ", "I"])
    assert said == ["", "", "Oh, I love that one! "]


def test_an_answer_that_does_not_keep_to_it_is_heard_as_it_is():
    said, rest = say(["The", " sky", " is"])
    assert "".join(said) + rest == "The sky is"


def test_without_openings_everything_passes():
    assert say(["a", "b"], [])[0] == ["a", "b"]


def test_the_grammar_quotes():
    assert '"Say \\"hi\\"!"' in begins_with(['Say "hi"!'])


@given(st.sampled_from(OPENINGS), st.text("abc .!,", min_size=1, max_size=30), st.lists(st.integers(1, 9), max_size=20))
def test_nothing_is_said_twice_or_lost(opening, rest, cuts):
    answer, portions = f"{opening} {rest}", []
    for cut in [*cuts, 99]:
        portions.append(answer[:cut])
        answer = answer[cut:]
    said, end = say(portions)
    assert ("".join(said) + end).split() == f"{opening} {rest}".split()


def test_after_one_that_was_said_it_only_goes_on():
    opening = Opening(OPENINGS[:1], OPENINGS[0])
    assert [opening.feed(text) for text in (" ", " The", " sky")] == ["", "The", " sky"]
    assert opening.said == OPENINGS[0] and opening.finish() == ""


def test_openings_take_turns_and_never_come_twice_in_a_row():
    openings, heard = Openings(OPENINGS, "en-GB"), []
    for chosen in [None, None, "Ah, good question!", None, "Oh, hello!", None, None, None, None, None]:
        # The model chooses where nothing is asked.
        assert chosen is None or chosen in openings.choices
        opening = chosen or openings.answering("Why is that so?")
        assert openings.answering("Why is that so?") == (opening if chosen is None else openings.answering("What?"))
        openings.said(opening)
        heard.append(opening)
    assert all(one != other for one, other in itertools.pairwise(heard)) and set(heard) == set(OPENINGS)


def test_a_single_opening_is_all_there_is():
    openings = Openings(OPENINGS[:1], "en")
    openings.said(OPENINGS[0])
    assert openings.answering("Why?") == OPENINGS[0] and openings.choices == tuple(OPENINGS[:1])
    assert Openings([], "en").answering("Why?") is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Why is the sky blue?", "en-GB"),
        ("who painted the Mona Lisa.", "en"),
        ("And how do they do that", "en-US"),
        ("Well, can you tell me about it.", "en"),
        ("I like it. Is it old?", "en"),
        ("Isn’t it lovely", "en"),
        ("Warum ist der Himmel blau.", "de-DE"),
        ("Und wer hat das gemalt", "de"),
        ("Pourquoi le ciel est bleu.", "fr"),
        ("¿Por qué es azul", "es"),
        ("Quién pintó esto.", "es-MX"),
        ("Perché è blu?", "it"),
    ],
)
def test_questions(text, language):
    assert is_question(text, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I like the sea.", "en"),
        ("What a lovely picture!", "en"),
        ("When I was young I painted.", "en"),
        ("Tell me about Leonardo.", "en"),
        ("Whoever painted this was good.", "en"),
        ("Das gefällt mir.", "de"),
        ("J'aime ça.", "fr"),
        ("Me gusta.", "es"),
        ("Perché no.", "it"),
        ("", "en"),
    ],
)
def test_no_questions(text, language):
    assert not is_question(text, language)
