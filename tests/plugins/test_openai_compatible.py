"""The official SDK against a server that speaks the documented protocol."""

from __future__ import annotations

import asyncio

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    FunctionCallsStartedFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMTextFrame,
    MetricsFrame,
)
from pipecat.metrics.metrics import LLMUsageMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.tests.utils import SleepFrame, run_test

from animacy.core.llm.contract import Grounds
from animacy.core.pipeline.frames import GroundedContextFrame
from animacy.core.provider import CharacterContext
from animacy.core.tools.contract import Tool
from animacy.plugins.openai_compatible import OpenAICompatibleSettings, llm_providers
from tests.wire.openai import Answer, chat_server

KEY = "sk-very-secret"


async def _nothing(_):
    return None


MAP = Tool(
    "show_map",
    "Shows the map of a floor.",
    {"type": "object", "properties": {"floor": {"type": "integer"}}, "required": ["floor"]},
    _nothing,
)


def service(server, *, tools=(), openings=(), **settings):
    character = CharacterContext("Iris", "en-GB", persona="You are Iris.", openings=openings, tools=tools)
    chosen = OpenAICompatibleSettings(model="m", base_url=server.url, api_key=KEY, **settings)
    return llm_providers().create(chosen, character)


def ask(text):
    return LLMContextFrame(LLMContext([{"role": "user", "content": text}]))


def text_of(frames):
    return "".join(frame.text for frame in frames if isinstance(frame, LLMTextFrame))


async def test_it_answers_as_the_character():
    async with chat_server(lambda _: Answer(("I am ChatGPT", ". The sea", " is **salty**."))) as server:
        params = PipelineParams(enable_metrics=True, enable_usage_metrics=True)
        down, _ = await run_test(
            service(server, openings=("Well, let me see.",)),
            frames_to_send=[ask("Why is the sea salty?")],
            pipeline_params=params,
        )
    assert text_of(down) == "Well, let me see. I'm Iris. The sea is salty."
    (asked,) = server.requests
    assert asked["authorization"] == f"Bearer {KEY}"
    assert "You are Iris." in asked["messages"][0]["content"] and "en-GB" in asked["messages"][0]["content"]
    assert "Well, let me see." in asked["messages"][-1]["content"]
    (usage,) = [
        item.value
        for frame in down
        if isinstance(frame, MetricsFrame)
        for item in frame.data
        if isinstance(item, LLMUsageMetricsData)
    ]
    assert (usage.prompt_tokens, usage.cache_read_input_tokens) == (90, 64)


async def test_an_interruption_hangs_up():
    answer = Answer(("word ",) * 200, pause=0.05)
    async with chat_server(lambda _: answer) as server:
        frames = [ask("Tell me a story."), SleepFrame(0.6), InterruptionFrame(), SleepFrame(0.4)]
        await run_test(service(server, max_sentences=50), frames_to_send=frames)
        sent = server.sent
        await asyncio.sleep(0.3)
        assert 0 < sent < 100 and server.sent <= sent + 1 and server.hung_up == 1


async def test_a_tool_is_called_with_its_arguments():
    async with chat_server(lambda _: Answer(calls=(("show_map", '{"floor": 2}'),))) as server:
        llm, called = service(server, tools=(MAP,)), []

        async def handle(params):
            called.append((params.function_name, dict(params.arguments)))
            await params.result_callback({"result": "done"})

        llm.register_function(None, handle)
        down, _ = await run_test(llm, frames_to_send=[ask("Show me the second floor."), SleepFrame(0.3)])
    assert called == [("show_map", {"floor": 2})]
    assert any(isinstance(frame, FunctionCallsStartedFrame) for frame in down)
    assert server.requests[0]["tools"][0]["function"]["parameters"] == MAP.parameters


async def test_what_is_known_is_said_without_the_server():
    async with chat_server(lambda _: Answer(("never",))) as server:
        context = LLMContext([{"role": "user", "content": "How much is it?"}])
        frames = [GroundedContextFrame(context, grounds=Grounds("I'm afraid I don't know that."))]
        down, _ = await run_test(service(server), frames_to_send=frames)
    assert text_of(down) == "I'm afraid I don't know that." and not server.requests


SERVER = "the language model's server"


def told(frames):
    return [frame for frame in frames if isinstance(frame, ErrorFrame)]


@pytest.mark.parametrize(
    ("answer", "message", "lasts"),
    [
        (Answer(status=401), f"{SERVER} does not accept the key\n  set the variable that llm.api_key names", True),
        (
            Answer(status=404),
            f"{SERVER} does not take the settings: it has no model m\n  correct the recipe's llm section",
            True,
        ),
        (Answer(status=402), f"{SERVER} wants to be paid\n  see the account's balance", True),
        (
            Answer(status=429, retry_after="20"),
            f"{SERVER} has had too many requests\n  wait 20 s, as it asks, or raise the account's limit",
            False,
        ),
        (Answer(status=500), f"{SERVER} answered with status 500\n  see the service's own status page or log", False),
        (Answer(("half",), cut=True), f"the connection to {SERVER} broke\n", False),
        (Answer(("late",), pause=1.0), f"{SERVER} did not answer in time at http", False),
        (Answer(("Half",), raw="data: {"), f"the connection to {SERVER} broke: its answer cannot be read\n", False),
        (Answer(raw='data: {"choices": 7}'), f"the connection to {SERVER} broke: its answer cannot be read\n", False),
        (
            Answer(raw='data: {"error": {"message": "no: sk-secret"}}'),
            f"the connection to {SERVER} broke: it reported an error in its answer\n",
            False,
        ),
    ],
)
async def test_what_fails_is_told_without_the_key(answer, message, lasts):
    async with chat_server(lambda _: answer) as server:
        llm = service(server, timeout=0.5)
        _, up = await run_test(llm, frames_to_send=[ask("Hello?"), SleepFrame(0.2)])
    (error,) = told(up)
    assert error.error.startswith(message) and llm.is_usable is not lasts
    assert KEY not in error.error and "secret" not in error.error


@pytest.mark.parametrize(("status", "retry_after"), [(429, "0.3"), (429, None), (503, None)])
async def test_what_passes_soon_is_tried_again(status, retry_after):
    answers = iter([Answer(status=status, retry_after=retry_after), Answer(("Hello.",))])
    async with chat_server(lambda _: next(answers)) as server:
        down, up = await run_test(service(server), frames_to_send=[ask("Hello?"), SleepFrame(0.8)])
    assert text_of(down) == "Hello." and not told(up)


async def test_a_server_that_fails_again_and_again_ends_the_conversation():
    answers = iter([*[Answer(status=500)] * 4, Answer(("Hello.",)), *[Answer(status=500)] * 6])
    async with chat_server(lambda _: next(answers)) as server:
        llm = service(server)
        _, up = await run_test(
            llm, frames_to_send=[part for _ in range(6) for part in (ask("Hello?"), SleepFrame(0.2))]
        )
    assert len(told(up)) == 5 and not llm.is_usable


async def test_a_server_that_is_not_there():
    class Nowhere:
        url = "http://127.0.0.1:9/v1"

    _, up = await run_test(service(Nowhere), frames_to_send=[ask("Hello?"), SleepFrame(0.5)])
    assert "cannot be reached" in next(frame.error for frame in up if isinstance(frame, ErrorFrame))


async def test_a_key_is_not_shown():
    assert KEY not in repr(OpenAICompatibleSettings(model="m", api_key=KEY))
