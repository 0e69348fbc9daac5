"""LangChain's own chat models, streaming through the service."""

from __future__ import annotations

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from pipecat.frames.frames import ErrorFrame, LLMContextFrame, LLMTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.tests.utils import SleepFrame, run_test

from animacy.core.errors import PluginError
from animacy.core.llm.contract import Request, ToolCall
from animacy.core.pipeline.remote import RemoteError
from animacy.core.provider import CharacterContext
from animacy.plugins.langchain import LangChainSettings, llm_providers
from animacy.plugins.langchain.model import LangChainModel
from tests.plugins.test_openai_compatible import MAP
from tests.wire.openai import Answer, chat_server

HERE = "tests.plugins.test_langchain"


class Parrot(GenericFakeChatModel):
    """LangChain's scripted model, with a script of its own."""

    def __init__(self, said: str = "", **options):
        if options.pop("broken", False):
            raise ValueError("the key sk-secret is wrong")
        super().__init__(messages=iter([AIMessage(said)]), **options)


@pytest.fixture(autouse=True)
def allowed(monkeypatch):
    monkeypatch.setenv("ANIMACY_ALLOW_MODULES", "tests.plugins,langchain_openai")


def service(**options):
    settings = LangChainSettings(model=f"{HERE}:Parrot", options=options)
    return llm_providers().create(settings, CharacterContext("Iris", persona="You are Iris."))


async def test_it_streams_as_the_character():
    frame = LLMContextFrame(LLMContext([{"role": "user", "content": "Who are you?"}]))
    down, _ = await run_test(service(said="I am Claude, a guide. Welcome to the sea."), frames_to_send=[frame])
    texts = [frame.text for frame in down if isinstance(frame, LLMTextFrame)]
    assert "".join(texts) == "I'm Iris. Welcome to the sea." and len(texts) > 3


async def test_tools_and_results_go_through_the_real_client_of_a_provider():
    """ChatOpenAI is the client most people use; a server that speaks its protocol answers it."""
    openai = pytest.importorskip("langchain_openai", reason="langchain-openai is in the test extra")
    replies = iter([Answer(calls=(("show_map", '{"floor": 2}'),)), Answer(("There you are.",))])
    async with chat_server(lambda _: next(replies)) as server:
        options = {"model": "m", "base_url": server.url, "api_key": "none"}
        model = LangChainModel("langchain_openai:ChatOpenAI", options)
        await model.load()
        assert isinstance(model._model, openai.ChatOpenAI)
        messages = [{"role": "user", "content": "Show me the second floor."}]
        (call,) = [event for event in await _all(model, messages) if isinstance(event, ToolCall)]
        assert (call.name, call.arguments) == ("show_map", {"floor": 2})
        made = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": '{"floor": 2}'}}
        messages += [
            {"role": "assistant", "tool_calls": [made]},
            {"role": "tool", "tool_call_id": call.id, "content": '{"result": "done"}'},
        ]
        events = await _all(model, messages)
    assert "".join(event for event in events if isinstance(event, str)) == "There you are."
    assert [message["role"] for message in server.requests[1]["messages"]] == ["user", "assistant", "tool"]


async def _all(model, messages):
    import threading

    return [event async for event in model.stream(Request(messages, tools=(MAP,)), threading.Event())]


async def test_modules_are_imported_only_where_the_operator_allows_it(monkeypatch):
    monkeypatch.setenv("ANIMACY_ALLOW_MODULES", "somewhere.else")
    with pytest.raises(PluginError, match="ANIMACY_ALLOW_MODULES"):
        await service().load()


async def test_what_is_wrong_is_told_without_options():
    with pytest.raises(PluginError) as caught:
        await service(broken=True).load()
    assert "sk-secret" not in str(caught.value)
    with pytest.raises(PluginError, match="no LangChain chat model"):
        await LangChainModel(f"{HERE}:chat_server", {}).load()


async def test_too_many_requests_are_told_and_the_conversation_goes_on():
    pytest.importorskip("langchain_openai", reason="langchain-openai is in the test extra")
    replies = iter([Answer(status=429, retry_after="7"), Answer(("Here ", "I am."))])
    async with chat_server(lambda _: next(replies)) as server:
        options = {"model": "m", "base_url": server.url, "api_key": "sk-secret", "max_retries": 0}
        settings = LangChainSettings(model="langchain_openai:ChatOpenAI", options=options)
        llm = llm_providers().create(settings, CharacterContext("Iris"))
        frames = [LLMContextFrame(LLMContext([{"role": "user", "content": text}])) for text in ("Hi.", "Hi again.")]
        down, up = await run_test(llm, frames_to_send=[frames[0], SleepFrame(0.3), frames[1], SleepFrame(0.3)])
    (error,) = [frame for frame in up if isinstance(frame, ErrorFrame)]
    assert error.error.startswith("m has had too many requests\n  wait 7 s, as it asks")
    assert isinstance(error.exception, RemoteError) and not error.exception.lasts and llm.is_usable
    assert "".join(frame.text for frame in down if isinstance(frame, LLMTextFrame)) == "Here I am."


@pytest.mark.parametrize("status", [401, 404])
async def test_a_key_or_a_model_that_is_wrong_ends_it(status):
    pytest.importorskip("langchain_openai", reason="langchain-openai is in the test extra")
    async with chat_server(lambda _: Answer(status=status)) as server:
        model = LangChainModel(
            "langchain_openai:ChatOpenAI", {"model": "m", "base_url": server.url, "api_key": "sk-secret"}
        )
        await model.load()
        with pytest.raises(RemoteError) as raised:
            await _all(model, [{"role": "user", "content": "Hi."}])
    assert raised.value.lasts and "sk-secret" not in str(raised.value)


async def test_a_model_that_fails_is_an_error_of_the_conversation():
    frames = [LLMContextFrame(LLMContext([{"role": "user", "content": text}])) for text in ("Hi.", "Hi again.")]
    _, up = await run_test(service(said="Hello."), frames_to_send=[*frames, SleepFrame(0.2)])  # its script is over
    assert any("Parrot failed" in frame.error for frame in up if isinstance(frame, ErrorFrame))
