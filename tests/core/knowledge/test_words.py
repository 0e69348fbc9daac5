"""Words made comparable, and search by them."""

from hypothesis import given
from hypothesis import strategies as st

from animacy.core.knowledge.bm25 import WordIndex
from animacy.core.knowledge.contract import Passage
from animacy.core.knowledge.search import needs_context
from animacy.core.knowledge.words import questions, terms


def index(*texts, language="en-GB"):
    return WordIndex([Passage(str(number), text, "a.md") for number, text in enumerate(texts)], language)


def best(words, question):
    return [passage.id for passage in words.best(terms(question, words.language), 3)]


def test_forms_of_a_word_meet():
    assert terms("Where were the paintings?", "en") == terms("painting", "en-US")
    assert terms("ten o'clock", "en")[0] == terms("10", "en")[0]
    assert terms("Öffnungszeiten", "de") == terms("öffnungszeit", "de-DE")
    assert terms("Čeština café", "cs") == ["cestina", "cafe"]


def test_rare_words_decide():
    words = index("The cafe is open until six.", "The shop is open until five.", "The dodo is a model.")
    assert best(words, "How late is the shop open?")[0] == "1"
    assert best(words, "the of and") == []
    assert words.rarity("helicopter") > words.rarity("dodo") > words.rarity("open")


def test_scripts_without_spaces_are_searched():
    words = index("博物館は月曜日に休みです", "カフェは八時まで開いています", language="ja")
    assert best(words, "月曜日は開いていますか")[0] in ("0", "1")
    assert best(words, "月曜日")[0] == "0"


def test_two_questions_in_one_breath_are_two():
    assert questions("Where is the cafe, and what does a coffee cost?", "en") == [
        "Where is the cafe",
        "what does a coffee cost?",
    ]
    assert questions("Wo ist das Café und was kostet ein Kaffee?", "de")[1] == "was kostet ein Kaffee?"
    assert questions("Do you have soup and cake?", "en") == ["Do you have soup and cake?"]
    assert questions("Zu und zu", "xx") == ["Zu und zu"]


def test_nothing_is_nothing():
    assert index().best(["a"], 3) == []
    assert index("...").best(["a"], 3) == []


@given(st.text(max_size=80), st.sampled_from(["en-GB", "de", "ja", "th", "ar", "xx", "zh-CN", "fr", "hu"]))
def test_no_language_crashes(text, language):
    words = index(text, "another", language=language)
    words.best(terms(text, language), 5)
    needs_context(text, language)


def test_a_question_that_points_back_needs_what_was_said_before():
    assert needs_context("And on Sundays?", "en-GB")
    assert needs_context("Who painted it?", "en-GB")
    assert needs_context("Und am Sonntag?", "de")
    assert not needs_context("Where are the toilets?", "en-GB")
    assert not needs_context("How long is the skeleton of the whale in the hall?", "en-GB")
