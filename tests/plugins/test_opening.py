"""How an answer begins: the opening is said as soon as it is certain, and nothing is said twice or lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from animacy.plugins.llama.opening import Opening, grammar

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
    assert '"Say \\"hi\\"!"' in grammar(['Say "hi"!'])


@given(st.sampled_from(OPENINGS), st.text("abc .!,", min_size=1, max_size=30), st.lists(st.integers(1, 9), max_size=20))
def test_nothing_is_said_twice_or_lost(opening, rest, cuts):
    answer, portions = f"{opening} {rest}", []
    for cut in [*cuts, 99]:
        portions.append(answer[:cut])
        answer = answer[cut:]
    said, end = say(portions)
    assert ("".join(said) + end).split() == f"{opening} {rest}".split()
