"""Which questions are about the character, and not for its documents."""

import pytest

from animacy.core.llm.questions import is_small_talk


@pytest.mark.parametrize(
    "said",
    ["How are you?", "Who are you?", "What's your name?", "Are you a robot?", "Can you hear me?", "Do you like art?"],
)
def test_about_the_character(said):
    assert is_small_talk(said, "en-GB")


@pytest.mark.parametrize(
    "said",
    ["Are you open on Sundays?", "Do you have a café?", "Can you tell me when it opens?", "How much is a ticket?"],
)
def test_about_the_world(said):
    assert not is_small_talk(said, "en-GB")


def test_of_an_unknown_language_nothing_is_known():
    assert not is_small_talk("Quis es tu?", "la")
