"""The user's yes before something consequential."""

from __future__ import annotations

import pytest

from animacy.core.tools.phrases import says_yes
from animacy.core.tools.registry import Toolbox
from tests.core.tools.sources import Listed, tool


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes.", True),
        ("Um, yes please.", True),
        ("Yes, please go ahead and book the table for eight.", True),
        ("Sure, book it.", True),
        ("Okay.", True),
        ("That's right, thank you!", True),
        ("I'd like that, yes.", True),
        ("No.", False),
        ("Yes, no, wait!", False),
        ("I'm not sure.", False),
        ("Please don't.", False),
        ("Are you sure?", None),
        ("Yes, but on Friday.", None),
        ("OK tell me about the museum.", None),
        ("What does it cost", None),
        ("Hmm.", None),
        ("", None),
    ],
)
def test_english(text, answer):
    assert says_yes(text, "en-GB") is answer


@pytest.mark.parametrize(
    ("language", "yes", "no", "neither"),
    [
        ("de-DE", "Ja, mach das bitte.", "Nein, lieber nicht.", "Ja, aber erst morgen."),
        ("fr", "Oui, d'accord.", "Non merci.", "Oui, mais demain."),
        ("es", "Sí, por favor.", "No, gracias.", "Quizás mañana."),
        ("it", "Sì, va bene.", "No, grazie.", "Forse domani."),
        ("pt-BR", "Sim, pode fazer.", "Não, obrigado.", "Talvez amanhã."),
        ("nl", "Ja, doe maar.", "Nee, dank je.", "Misschien morgen."),
    ],
)
def test_other_languages(language, yes, no, neither):
    assert [says_yes(text, language) for text in (yes, no, neither)] == [True, False, None]


@pytest.fixture
async def toolbox():
    made = []

    async def run(call):
        made.append(dict(call.arguments))

    toolbox = Toolbox([("test", Listed(tool("pay", run, {"to": "string"}, consequential=True)))])
    await toolbox.load()
    toolbox.made = made
    yield toolbox
    await toolbox.close()


async def test_the_same_call_after_a_yes_is_made_once(toolbox):
    toolbox.user_said("Pay Ann.")
    asked = await toolbox.call("pay", {"to": "Ann"})
    assert asked.status == "asks"
    assert not asked.ok
    assert asked.error == "Shall I go on with pay: to Ann?"
    assert "needs_confirmation" in asked.for_model()
    assert (await toolbox.call("pay", {"to": "Ann"})).status == "asks", "within the same turn nothing is confirmed"
    toolbox.user_said("Yes please.")
    assert (await toolbox.call("pay", {"to": "Ann"})).ok
    assert toolbox.made == [{"to": "Ann"}]
    assert (await toolbox.call("pay", {"to": "Ann"})).status == "asks", "one yes is for one call"


async def test_other_arguments_ask_again(toolbox):
    await toolbox.call("pay", {"to": "Ann"})
    toolbox.user_said("Yes.")
    assert (await toolbox.call("pay", {"to": "Bob"})).status == "asks"
    toolbox.user_said("Okay.")
    assert (await toolbox.call("pay", {"to": "Bob"})).ok
    assert toolbox.made == [{"to": "Bob"}]


@pytest.mark.parametrize(
    "words",
    [["No."], ["Yes, but wait."], ["How much?", "And when?", "I see.", "Yes."], ["Yes.", "Tell me a joke."], []],
)
async def test_without_a_plain_yes_of_now_nothing_is_done(toolbox, words):
    await toolbox.call("pay", {"to": "Ann"})
    for text in words:
        toolbox.user_said(text)
    assert (await toolbox.call("pay", {"to": "Ann"})).status == "asks"
    assert not toolbox.made


async def test_a_question_in_between_and_a_word_without_meaning_leave_the_yes(toolbox):
    await toolbox.call("pay", {"to": "Ann"})
    for text in ("How much was it?", "Yes.", "Um."):
        toolbox.user_said(text)
    assert (await toolbox.call("pay", {"to": "Ann"})).ok


async def test_one_yes_answers_what_was_asked_together_but_nothing_older(toolbox):
    await toolbox.call("pay", {"to": "Old"})
    toolbox.user_said("And what about the others?")
    for name in ("Ann", "Bob"):
        await toolbox.call("pay", {"to": name})
    toolbox.user_said("Yes, both.")
    results = [(await toolbox.call("pay", {"to": name})).ok for name in ("Old", "Ann", "Bob")]
    assert results == [False, True, True]
