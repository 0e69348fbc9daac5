"""Of the passages that were found, the sentences next to the question are read, and no more than there is time for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from animacy.core.knowledge.contract import Hit, Passage
from animacy.core.knowledge.excerpt import excerpts


def hit(*sentences, score=1.0):
    text = " ".join(sentence for sentence, _ in sentences)
    return Hit(Passage(text[:8], text, "a.md"), score, tuple(sentences))


TICKETS = hit(
    ("We sell tickets.", 0.1), ("Adults pay ten pounds.", 0.5), ("Children pay five.", 0.9), ("Pay by card.", 0.2)
)


def test_the_nearest_sentences_in_their_order():
    assert excerpts([TICKETS], 1000) == ["We sell tickets. Adults pay ten pounds. Children pay five. Pay by card."]
    assert excerpts([TICKETS], 41) == ["Adults pay ten pounds. Children pay five."]


def test_a_sentence_comes_with_the_one_it_may_point_back_to():
    vase = hit(("The vase is Greek.", 0.1), ("It was broken in 1900.", 0.9), ("Look at the handles, too.", 0.5))
    assert excerpts([vase], 45) == ["The vase is Greek. It was broken in 1900."]


def test_parts_of_one_sentence_stay_together():
    fees = hit(("Fees:", 0.1), ("ten pounds for adults;", 0.2), ("nothing for children.", 0.9), ("Hello.", 0.8))
    assert excerpts([fees], 50) == ["Fees: ten pounds for adults; nothing for children."]


def test_a_row_is_read_with_the_names_of_its_columns():
    prices = hit(
        ("| visitor | price | remark |", 0.1), ("| Adults | 14 pounds | |", 0.9), ("| Dogs | free | small |", 0.2)
    )
    assert excerpts([prices], 40) == ["visitor: Adults, price: 14 pounds."]
    assert excerpts([hit(("| a | b |", 0.5))], 40) == ["| a | b |"]


def test_the_better_passage_gets_the_room():
    other = hit(("Dogs pay nothing.", 0.9), score=0.3)
    assert excerpts([TICKETS, other], 41) == ["Adults pay ten pounds. Children pay five.", ""]


passages = st.lists(st.tuples(st.text("ab .:;,", min_size=1, max_size=60), st.floats(-1, 1)), min_size=1, max_size=8)


@given(st.lists(st.tuples(passages, st.floats(0, 1)), min_size=1, max_size=4), st.integers(1, 300))
def test_never_nothing_never_much_and_never_out_of_order(found, characters):
    hits = [hit(*sentences, score=score) for sentences, score in found]
    read = excerpts(hits, characters)
    assert len(read) == len(hits) and any(read)
    longest = max(len(one.passage.text) for one in hits)
    assert sum(map(len, read)) <= max(characters, longest) + sum(len(one.sentences) for one in hits)
    for one, text in zip(hits, read, strict=True):
        places = iter(" ".join(sentence for sentence, _ in one.sentences))
        assert all(letter in places for letter in text), "letters of the passage, in its order"
