"""Words of the user that are none for the character, and when the character's own are heard."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from animacy.core.pipeline.turns.backchannels import backchannels, is_backchannel, phrases_of, words_of
from animacy.core.pipeline.turns.overheard import is_echo
from animacy.core.pipeline.words import Utterance

SAID = [
    *("The", "lighthouse", "keeper", "counted", "every", "ship", "that", "passed", "along", "our", "northern", "coast"),
    *("before", "winter", "and", "wrote", "their", "names", "into", "a", "heavy", "leather", "book"),
]
RATE = 24_000


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en-US", ["Mm-hmm.", "Yeah, right.", "Uh-huh", "Of course!", "Oh wow.", "I see. Okay."]),
        ("de", ["Ja, genau.", "Mhm", "Ach so!", "Alles klar, verstehe."]),
        ("fr-FR", ["Oui, d'accord.", "Ah bon !", "D’accord"]),
        ("es", ["Sí, claro.", "Vale, vale.", "¡Ya veo!"]),
        ("xx", ["Mhm.", "OK"]),
    ],
)
def test_sounds_of_listening(language, texts):
    for text in texts:
        assert is_backchannel(text, backchannels(language)), text


@pytest.mark.parametrize("text", ["", "...", "No.", "Stop, please.", "Right, but why?", "Yeah what about the sea", "I"])
def test_what_takes_the_word(text):
    assert not is_backchannel(text, backchannels("en"))


@given(st.lists(st.sampled_from(sorted(backchannels("en"))), min_size=1, max_size=6))
def test_any_row_of_backchannels_is_one(phrases):
    assert is_backchannel(", ".join(" ".join(phrase) for phrase in phrases), backchannels("en"))


@given(st.text(max_size=40))
def test_a_recipes_phrases_are_found_however_they_are_written(text):
    phrases = phrases_of([text])
    assert is_backchannel(text.upper().casefold() + "!", phrases) == bool(words_of(text))


@given(st.integers(0, len(SAID) - 2), st.integers(2, 12))
def test_a_stretch_of_what_was_said_is_an_echo(start, count):
    heard = SAID[start : start + count]
    assume(len(heard) > 1)
    assert is_echo(" ".join(heard).capitalize() + ".", SAID)
    torn = [heard[0][-4:], *heard[1:-1], heard[-1][:4]]
    assert is_echo(" ".join(torn), SAID)


@given(
    st.integers(0, len(SAID) - 2),
    st.integers(0, 10),
    st.sampled_from(["but why", "really", "what is", "no"]),
    st.booleans(),
)
def test_a_quotation_with_words_of_ones_own_is_none(start, count, own, first):
    quoted = " ".join(SAID[start : start + count])
    assert not is_echo(f"{own} {quoted}" if first else f"{quoted} {own}", SAID)


@given(st.integers(0, len(SAID) - 5), st.integers(3, 5))
def test_the_same_words_in_another_order_are_none(start, count):
    assert not is_echo(" ".join(reversed(SAID[start : start + count])), SAID)


@pytest.mark.parametrize("text", ["Yes.", "No!", "Stop.", "What?", "", "Yes, yes"])
def test_a_short_answer_is_never_an_echo(text):
    assert not is_echo(text, ["Shall", "I", "say", "yes", "or", "no", "or", "stop", "what"])


def test_one_misheard_word_in_six_is_forgiven():
    assert is_echo("keeper counted every chip that bassed along our Northern", SAID)
    assert is_echo("lighthouse keeper counted every elephant that passed", SAID)
    assert not is_echo("lighthouse keeper hunted elephant giraffe that passed", SAID)


def at(words):
    return [(word.text, word.at) for word in words]


def test_words_are_spread_over_their_sound_by_their_letters():
    utterance = Utterance("context", RATE)
    utterance.announce("aaa bbbbbbb", 1)
    words = utterance.sound(1, 100, 1200, 0)
    utterance.sound(1, 1300, 0, 0)
    assert utterance.spoken("aaa bbbbbbb", 1) == []
    assert at(words) == [("aaa", 100 + round(1200 * 1.5 / 12)), ("bbbbbbb", 100 + round(1200 * 7.5 / 12))]


def test_visemes_foretell_how_long_a_clause_is():
    utterance = Utterance("context", RATE)
    utterance.announce("aaa bbb", 1)
    foretold = at(utterance.sound(1, 0, 100, 800))
    assert foretold == [("aaa", 150), ("bbb", 550)]


def test_a_clause_without_sound_joins_the_next_or_is_never_heard():
    utterance = Utterance("context", RATE)
    utterance.announce("one", 1)
    assert utterance.spoken("one", 1) == []
    utterance.announce("two", 2)
    assert [word.text for word in utterance.sound(1, 0, 100, 0)] == ["one", "two"]
    utterance.announce("three", 3)
    utterance.close()
    assert utterance.sound(1, 100, 100, 0) == []


def test_a_voice_that_announces_nothing_is_followed_too():
    utterance = Utterance("context", RATE)
    utterance.sound(1, 0, 800, 0)
    assert at(utterance.spoken("aaa bbb")) == [("aaa", 150), ("bbb", 550)]
    utterance.sound(1, 800, 800, 0)
    assert at(utterance.spoken("ccc")) == [("ccc", 800 + 300)]


def test_a_voice_that_times_its_words_is_believed():
    utterance = Utterance("context", RATE)
    utterance.sound(1, 500, 800, 0)
    assert at(utterance.timed("aaa", 0.25, 1)) == [("aaa", 500 + RATE // 4)]
    utterance.sound(1, 1300, 800, 0)
    assert at(utterance.timed("bbb", 0.5, 1)) == [("bbb", 500 + RATE // 2)]
