"""The cutting of answers into clauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipecat.utils.text.base_text_aggregator import BaseTextAggregator

from animacy.core.pipeline.clauses import (
    MAX_CHARS,
    MIN_WORDS,
    ClauseAggregator,
    ClauseSplitter,
    split_sentences,
)

PIECES = st.sampled_from(
    [
        "Dr. Smith ",
        "3.5 ",
        "1,000",
        "and ",
        "but",
        " which",
        "e.g. ",
        "9:30",
        "https://a.b/c?d=e ",
        ". ",
        "? ",
        "\n",
        "… ",
        ", ",
        "; ",
        "—",
        " - ",
        ' "',
        ") ",
        "word ",
        "another",
        " ",
        "¿",
        "😀",
        "你好。",
        "U.S. ",
        "1. ",
        "!!",
    ]
)
TEXT = st.one_of(st.text(max_size=400), st.lists(PIECES, max_size=120).map("".join))


def cut(text, portions=1):
    splitter = ClauseSplitter()
    pieces = [piece for i in range(0, len(text), portions) for piece in splitter.push(text[i : i + portions])]
    return [*pieces, splitter.flush()]


def clauses(text):
    return [piece.strip() for piece in cut(text) if piece.strip()]


@given(TEXT, st.integers(1, 9))
def test_nothing_is_lost_or_added(text, portions):
    assert "".join(cut(text, portions)) == text
    assert "".join(split_sentences(text)) == text


@given(TEXT, st.integers(1, 9))
def test_pieces_are_bounded(text, portions):
    assert max(map(len, cut(text, portions))) <= MAX_CHARS + portions


@given(TEXT)
def test_a_sentence_is_not_cut_again(text):
    for sentence in split_sentences(text):
        assert split_sentences(sentence.strip()) in ([sentence.strip()], [])


@given(TEXT)
def test_early_clauses_have_enough_words(text):
    first = next(ClauseSplitter().push(text), "")
    if first.rstrip(" ").endswith(","):
        assert len(first.split()) >= MIN_WORDS or len(first) >= MAX_CHARS // 4


@pytest.mark.parametrize(
    "kept",
    [
        "It measures 3.5 meters and more.",
        "We have 1,000 pictures here.",
        "Ask Dr. Brown about it now.",
        "It opens at 9:30 every day.",
        "Take an insect (e.g. a bee) now.",
        "See https://a.org/b.html?c=1,2 for it.",
        "On May 5, 1889 he painted.",
        "J. M. W. Turner painted it.",
        "The U.S. has many of them.",
        "Look at No. 7 please now.",
    ],
)
def test_what_belongs_together_stays_together(kept):
    assert clauses(f"{kept} And then some.")[0] == kept


def test_the_first_clause_leaves_at_the_first_comma_and_the_rest_by_sentences():
    text = "That is a good question, and the answer is long, but fun. It has two parts, you see."
    assert clauses(text) == [
        "That is a good question,",
        "and the answer is long, but fun.",
        "It has two parts, you see.",
    ]


def test_after_a_short_opening_the_next_clause_is_early_too():
    assert clauses("Ah, good question! In old paintings, the colours fade, for light breaks them down.") == [
        "Ah, good question!",
        "In old paintings,",
        "the colours fade, for light breaks them down.",
    ]


def test_after_a_short_opening_a_phrase_is_enough():
    sentence = "Leonardo da Vinci painted it in the early sixteenth century."
    assert clauses(f"Ah, good question! {sentence}") == [
        "Ah, good question!",
        "Leonardo da Vinci painted it",
        "in the early sixteenth century.",
    ]
    assert clauses(sentence) == [sentence]
    assert clauses("Well, let me see. The sky is blue because it is.")[1:] == ["The sky is blue", "because it is."]


def test_two_words_are_no_first_clause():
    assert clauses("Well, yes, that is so. Fine.")[0] == "Well, yes, that is so."


def test_a_long_first_clause_ends_before_a_conjunction():
    text = "The museum keeps many old paintings from all over Europe and some drawings too."
    assert clauses(text) == [
        "The museum keeps many old paintings from all over Europe",
        "and some drawings too.",
    ]


def test_the_first_clause_needs_no_more_than_the_next_word():
    splitter = ClauseSplitter()
    assert list(splitter.push("I like it very much, ")) == []
    assert list(splitter.push("b")) == ["I like it very much,"]


def test_an_answer_starts_again_after_flush_and_interruption():
    splitter = ClauseSplitter()
    for _ in range(2):
        assert next(splitter.push("One two three, four. Five six seven, eight")) == "One two three,"
        splitter.flush()


async def test_the_aggregator_speaks_pipecat():
    aggregator = ClauseAggregator(language="en-GB")
    assert isinstance(aggregator, BaseTextAggregator)
    got = [
        a.text
        for token in ("Yes", ", I do", ", and", " so does", " she. ", "Good")
        async for a in aggregator.aggregate(token)
    ]
    assert got == ["Yes, I do,", "and so does she."]
    assert aggregator.text.text == "Good"
    rest = await aggregator.flush()
    assert rest is not None and rest.text == "Good"
    assert await aggregator.flush() is None
    async for _ in aggregator.aggregate("to be forgotten"):
        pass
    await aggregator.handle_interruption()
    assert aggregator.text.text == ""
