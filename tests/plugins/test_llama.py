"""The real runtime: a tiny model for the plumbing, the default one for what it says."""

import asyncio
import json
import secrets
import threading
import time

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMServiceMetadataFrame,
    LLMTextFrame,
    MetricsFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import LLMUsageMetricsData, TTFBMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.tests.utils import SleepFrame, run_test

from animacy.core.errors import ModelError
from animacy.core.llm.prompt import HELLO, Prompt, cost, prompt_of
from animacy.core.llm.service import CharacterLLM
from animacy.core.llm.shaping import Claims, Ending
from animacy.core.models import LocalModel, packaged
from animacy.core.pipeline.frames import ForeseenTranscriptFrame
from animacy.core.provider import CharacterContext
from animacy.core.shared import Share
from animacy.plugins.llama import LlamaSettings, llm_providers
from animacy.plugins.llama.model import LlamaModel
from animacy.plugins.llama.runtime import Runtime, gguf_file

PERSONA = "You are Iris, a warm guide at the Lantern House, a small museum of the sea. It is open from ten to five."
EXAMPLES = [("hello there", "Hello! Lovely to see you at the Lantern House.")]
STORY = "Tell me a very long story about the sea, with many sailors and many storms."


@pytest.fixture(scope="module")
def tiny():
    runtime = Runtime(packaged("smollm2-135m"), context_tokens=1024, conversations=2)
    runtime.load()
    return runtime


@pytest.fixture(scope="module")
def default():
    runtime = Runtime(packaged("qwen2.5-coder-1.5b"))
    runtime.load()
    return runtime


def make_service(runtime, *, max_tokens=96, max_sentences=3, openings=(), temperature=0.4):
    character = CharacterContext(
        "Iris", persona=PERSONA, examples=EXAMPLES, openings=openings, max_answer_tokens=max_tokens
    )
    prompt = prompt_of(character, runtime.context_tokens)

    def make():
        runtime.read([*prompt.prefix, HELLO])
        return runtime

    share = Share(("llama", runtime.model.name, PERSONA), make)
    model = LlamaModel(share, runtime.model.name, temperature=temperature, seed=3)
    return CharacterLLM(model, prompt, character, max_sentences=max_sentences)


def ask(*turns):
    roles = ("user", "assistant")
    return LLMContextFrame(LLMContext([{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]))


def text_of(frames):
    return "".join(frame.text for frame in frames if isinstance(frame, LLMTextFrame))


async def test_an_answer_streams_between_start_and_end(tiny):
    down, _ = await run_test(make_service(tiny), frames_to_send=[ask("What can I see here?")], start_timeout=60)
    kinds = [type(frame) for frame in down if not isinstance(frame, LLMServiceMetadataFrame)]
    assert kinds[0] is LLMFullResponseStartFrame and kinds[-1] is LLMFullResponseEndFrame
    assert kinds.count(LLMTextFrame) >= 3 and text_of(down).strip()


async def test_metrics_like_pipecats_own_services(tiny):
    down, _ = await run_test(
        make_service(tiny),
        frames_to_send=[ask("What can I see here?")],
        start_timeout=60,
        pipeline_params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
    )
    data = [item for frame in down if isinstance(frame, MetricsFrame) for item in frame.data]
    (first,) = [item for item in data if isinstance(item, TTFBMetricsData) and item.value]
    assert 0 < first.value < 30
    (usage,) = [item.value for item in data if isinstance(item, LLMUsageMetricsData)]
    assert usage.completion_tokens > 0 and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.cache_read_input_tokens > 0.6 * usage.prompt_tokens  # the persona was read at the start


@pytest.mark.realtime
async def test_interruption_stops_at_once_and_the_next_answer_works(tiny, monkeypatch):
    service = make_service(tiny, max_tokens=600, max_sentences=99)
    write, stopped = tiny.write, []

    def timed(messages, on_text, stop, **options):
        usage = write(messages, on_text, stop, **options)
        stopped.append((time.monotonic(), usage.written if usage else 0))
        return usage

    monkeypatch.setattr(tiny, "write", timed)
    interrupted = 0.0

    @service.event_handler("on_before_process_frame")
    async def note(_, frame):
        nonlocal interrupted
        if isinstance(frame, InterruptionFrame):
            interrupted = time.monotonic()

    down, _ = await run_test(
        service,
        frames_to_send=[
            ask(STORY),
            SleepFrame(1.5),
            InterruptionFrame(),
            SleepFrame(0.2),
            ask("Hello?"),
            SleepFrame(1),
        ],
        start_timeout=60,
    )
    _, first, _ = stopped
    assert 0 < first[1] < 500 and first[0] - interrupted < 1.0
    last_start = max(i for i, frame in enumerate(down) if isinstance(frame, LLMFullResponseStartFrame))
    assert text_of(down[last_start:]).strip()


@pytest.mark.realtime
def test_stop_within_a_token(tiny):
    stop, times = threading.Event(), []

    def on_text(_):
        times.append(time.perf_counter())
        if len(times) == 5:
            stop.set()

    messages = [{"role": "user", "content": STORY}]
    tiny.write(messages, on_text, stop, max_tokens=500)
    assert len(times) == 5
    assert time.perf_counter() - times[-1] < 0.5


def test_the_prefix_is_read_once_and_survives_other_requests(tiny):
    prompt = Prompt("Iris", PERSONA, EXAMPLES, 900)
    go = threading.Event()

    def usage(*messages):
        return tiny.write([*prompt.prefix, *messages], lambda _: None, go, max_tokens=4, seed=1)

    usage({"role": "user", "content": "Hello."})
    warm = usage({"role": "user", "content": "What is upstairs?"})
    assert warm.prompt - warm.cached < 25
    tiny.write([{"role": "user", "content": "Something else entirely, " * 20}], lambda _: None, go, max_tokens=4)
    again = usage({"role": "user", "content": "And downstairs?"})
    assert again.prompt - again.cached < 25


def test_the_persona_is_read_once_for_all_starts(cache):
    messages = [*Prompt("Iris", f"{PERSONA} {secrets.token_hex(8)}", EXAMPLES, 900).prefix, HELLO]

    def start():
        runtime = Runtime(packaged("smollm2-135m"), context_tokens=1024)
        runtime.load()
        usage = runtime.read(messages)
        parts = []
        runtime.write(messages, parts.append, threading.Event(), max_tokens=8, temperature=0)
        runtime.close()
        return usage.cached, usage.prompt, "".join(parts)

    first, second = start(), start()
    assert first[0] == 0 and second[0] >= second[1] - 1 and first[2] == second[2]
    (file,) = (cache / "llama-states").glob("*")
    file.write_bytes(file.read_bytes()[:-1000] + bytes(1000))
    assert start() == first


def test_the_same_seed_gives_the_same_answer(tiny):
    def answer(seed):
        parts = []
        messages = [{"role": "user", "content": "Say something about whales."}]
        tiny.write(messages, parts.append, threading.Event(), max_tokens=20, seed=seed, temperature=1.0)
        return "".join(parts)

    assert answer(7) == answer(7) != answer(8)


async def test_a_conversation_longer_than_the_context_goes_on(tiny):
    turns = []
    for i in range(60):
        turns += [f"Question {i}: what about the ships, the lamps and the maps of the sea?", "They are all upstairs."]
    down, up = await run_test(make_service(tiny), frames_to_send=[ask(*turns, "And now?")], start_timeout=60)
    assert text_of(down).strip()
    assert not [frame for frame in up if isinstance(frame, ErrorFrame)]


async def test_a_request_that_cannot_fit_is_reported_and_the_next_works(tiny):
    service = make_service(tiny)
    down, up = await run_test(
        service, frames_to_send=[ask("too long " * 3000), SleepFrame(1), ask("Hello?")], start_timeout=60
    )
    assert any("refused the request" in getattr(frame, "error", "") for frame in up)
    assert text_of(down).strip()


@pytest.mark.realtime
async def test_the_loop_stays_free_while_the_model_writes(tiny):
    longest = 0.0

    async def watch():
        nonlocal longest
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.01)
            longest = max(longest, time.perf_counter() - started)

    watcher = asyncio.create_task(watch())
    await run_test(make_service(tiny), frames_to_send=[ask(STORY)], start_timeout=60)
    watcher.cancel()
    assert longest < 0.4


OPENINGS = ("Ah, good question!", "Oh, I love that one!", "Well, let me see.")


async def test_a_question_is_answered_before_the_model_has_written_anything(tiny, monkeypatch):
    service = make_service(tiny, openings=OPENINGS)
    write, order = tiny.write, []

    def noted(messages, on_text, stop, **options):
        def note(text):
            order.append("written")
            on_text(text)

        return write(messages, note, stop, **options)

    monkeypatch.setattr(tiny, "write", noted)

    @service.event_handler("on_after_push_frame")
    async def said(_, frame):
        if isinstance(frame, LLMTextFrame):
            order.append(frame.text)

    frames = [UserStoppedSpeakingFrame(), ask("Why is the sea salty?"), SleepFrame(0.1), ask("And why is it blue?")]
    down, _ = await run_test(service, frames_to_send=frames, start_timeout=60)
    order = order[order.index(f"{OPENINGS[0]} ") :]
    assert "written" in order and order.count(f"{OPENINGS[0]} ") == order.count(f"{OPENINGS[1]} ") == 1
    answers = text_of(down).split(OPENINGS[1])
    assert len(answers) == 2 and answers[0].startswith(f"{OPENINGS[0]} ") and all(len(a.split()) > 3 for a in answers)
    assert not any(opening in answer[3:] for answer in answers for opening in OPENINGS[2:])


async def test_the_opening_needs_no_model_at_all(tiny):
    """The model's thread is busy with something else, and the answer begins all the same."""
    service = make_service(tiny, openings=OPENINGS)
    await service.load()
    begun, go_on = asyncio.Event(), threading.Event()
    busy = asyncio.ensure_future(service._chat._runtime.run(go_on.wait, 30))

    @service.event_handler("on_after_push_frame")
    async def said(_, frame):
        if isinstance(frame, LLMTextFrame) and not begun.is_set():
            assert frame.text == f"{OPENINGS[0]} " and not busy.done()
            begun.set()

    answering = asyncio.create_task(run_test(service, frames_to_send=[ask("Who are you?")], start_timeout=60))
    await asyncio.wait_for(begun.wait(), 20)
    go_on.set()
    down, _ = await answering
    assert len(text_of(down).split()) > 4


async def test_what_is_no_question_begins_as_the_model_likes(tiny):
    service = make_service(tiny, openings=OPENINGS)
    down, _ = await run_test(service, frames_to_send=[ask("I like the sea.")], start_timeout=60)
    assert text_of(down).startswith(tuple(f"{opening} " for opening in OPENINGS))


@pytest.mark.parametrize("question", ["Why is the sea salty?", "I like the sea."])
async def test_the_draft_is_taken_up_and_the_conversation_is_read_once(tiny, monkeypatch, question):
    service = make_service(tiny, openings=OPENINGS)
    write, read = tiny.write, []

    def noted(messages, on_text, stop, **options):
        usage = write(messages, on_text, stop, **options)
        read.append((messages[-2:], usage))
        return usage

    monkeypatch.setattr(tiny, "write", noted)
    context = LLMContext([{"role": "user", "content": question}])
    frames = [ForeseenTranscriptFrame(question), SleepFrame(0.1), LLMContextFrame(context)]
    await run_test(service, frames_to_send=frames, start_timeout=60)
    answers = [usage for messages, usage in read if any(m["content"] == question for m in messages)]
    assert len(answers) == 1

    heard = "Ah, good question! It is salty because of the rivers."
    context = LLMContext([*context.get_messages(), {"role": "assistant", "content": heard}])
    service = make_service(tiny, openings=OPENINGS)
    service._context = context
    read.clear()
    next_one = LLMContext([*context.get_messages(), {"role": "user", "content": "And why is it blue?"}])
    frames = [UserStartedSpeakingFrame(), SleepFrame(0.5), LLMContextFrame(next_one)]
    await run_test(service, frames_to_send=frames, start_timeout=60)
    (_, ahead), (_, usage) = read[-2:]
    assert ahead.written == 1 and usage.cached >= ahead.prompt - 1


async def test_no_words_were_foreseen(tiny):
    service = make_service(tiny, openings=OPENINGS)
    frames = [ForeseenTranscriptFrame("Why is"), ForeseenTranscriptFrame(""), SleepFrame(0.1), ask("Why is it?")]
    down, up = await run_test(service, frames_to_send=frames, start_timeout=60)
    assert text_of(down).startswith(OPENINGS[0]) and not [frame for frame in up if isinstance(frame, ErrorFrame)]


async def test_conversations_take_turns(tiny):
    services = [make_service(tiny) for _ in range(3)]
    answers = await asyncio.gather(
        *(run_test(one, frames_to_send=[ask("What can I see here?")], start_timeout=60) for one in services)
    )
    assert all(text_of(down).strip() for down, _ in answers)


async def test_run_inference_follows_a_schema(tiny):
    schema = {
        "type": "object",
        "properties": {"tool": {"enum": ["lamp", "map"]}},
        "required": ["tool"],
        "additionalProperties": False,
    }
    service = make_service(tiny)
    answer = await service.run_inference(
        LLMContext([{"role": "user", "content": "Which one, lamp or map?"}]), max_tokens=30, response_schema=schema
    )
    assert json.loads(answer)["tool"] in ("lamp", "map")


async def test_the_library_writes_nothing_to_the_terminal(capfd):
    runtime = Runtime(packaged("smollm2-135m"), context_tokens=512)
    runtime.load()
    runtime.write([{"role": "user", "content": "Hi"}], lambda _: None, threading.Event(), max_tokens=3)
    runtime.close()
    assert capfd.readouterr() == ("", "")


async def test_the_default_model_speaks_as_its_persona(default):
    service = make_service(default, temperature=0.0)
    texts = []
    for question in ("Who made you, OpenAI or Alibaba?", "When do you open?"):
        down, _ = await run_test(
            service if not texts else make_service(default, temperature=0.0),
            frames_to_send=[ask(question)],
            start_timeout=120,
        )
        texts.append(text_of(down))
    who, when = texts
    assert "Iris" in who and "Alibaba" not in who.replace("OpenAI or Alibaba", "")
    assert "ten" in when or "10" in when
    assert all(text.strip()[-1] in ".!?" for text in texts)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>" * 10, b"GGUF", b"GGUF" + bytes(200), b"GGUF\x03\0\0\0" + b"\xff" * 200],
)
def test_what_is_no_gguf(tmp_path, content):
    file = tmp_path / "weights.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="GGUF file"):
        Runtime(LocalModel(file)).load()


@pytest.mark.parametrize("keep", [5_000, 50_000_000])
def test_a_truncated_gguf(tmp_path, keep):
    file = tmp_path / "weights.gguf"
    with packaged("smollm2-135m").ensure().open("rb") as whole:
        file.write_bytes(whole.read(keep))
    with pytest.raises(ModelError, match="does not load as a language model"):
        Runtime(LocalModel(file)).load()


def test_a_folder_must_hold_one_gguf(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"holds 2 GGUF files \(a.gguf, b.gguf\)"):
        gguf_file(tmp_path)


async def test_provider():
    provider = llm_providers()
    assert [model.name for model in provider.models(LlamaSettings())] == ["qwen2.5-coder-1.5b"]
    made = provider.create(LlamaSettings(), CharacterContext("Iris", persona=PERSONA, examples=EXAMPLES, threads=2))
    assert isinstance(made, CharacterLLM)
    await made.load()
    assert (made._chat._runtime.value.threads, made._chat._runtime.value.batch_threads) == (1, 2)
    await made.cleanup()


def stream(claims, text, size=3):
    pieces = [claims.feed(text[i : i + size]) for i in range(0, len(text), size)]
    return "".join(pieces) + claims.finish()


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("I am Qwen, created by Alibaba Cloud. How can I help?", "I'm Iris. How can I help?"),
        ("Hello! I'm ChatGPT.", "Hello! I'm Iris."),
        ("I was created by Alibaba Cloud to help. Ask away.", "I was made to be Iris. Ask away."),
        ("I'm a museum guide, developed by OpenAI.", "I'm a museum guide, made to be Iris."),
        ("As an AI language model, I have no legs.", "I have no legs."),
        ("I am a large language model trained to help.", "I'm Iris, a virtual character."),
        ("Well, I'm just a language model, so no.", "Well, I'm Iris, a virtual character."),
        ("My name is Claude, and yours?", "my name is Iris?"),
    ],
)
def test_claims_of_other_makers_are_replaced(written, said, size):
    assert stream(Claims("Iris"), written, size) == said


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize(
    "text",
    [
        "Android was developed by Google.",
        "I was made to talk with you, and I am an admirer of lamps.",
        "I'm Iris, a virtual character. I am an AI.",
        "I am an old hand at this. I was born by the sea.",
        "As an Italian ship it came here in 1690.",
        "I've been here since ten o'clock, I'm afraid",
    ],
)
def test_other_words_pass(text, size):
    assert stream(Claims("Iris"), text, size) == text


def test_words_pass_as_soon_as_they_are_whole():
    claims = Claims("Iris")
    assert claims.feed("Hello") == "" and claims.feed("!") == "Hello!"
    assert claims.feed(" The lamp ") == " The lamp "
    assert claims.feed("I'm") == "" and claims.feed(" glad") == "" and claims.feed(" you") == "I'm glad "
    assert claims.feed(" came, ") == "you came, "


def test_markup_is_not_spoken():
    assert stream(Claims("Iris"), "**Hello**\n# `there`", 2) == "Hello  there"


def end(text, max_tokens=20, max_sentences=9, cut_off=True):
    """Feed word by word, each counting as a token."""
    ending, said, words = Ending(max_tokens, max_sentences), "", text.split(" ")
    for count, word in enumerate(words[:max_tokens], 1):
        said += ending.feed((" " if count > 1 else "") + word, count)
        if ending.done:
            return said
    return said + ending.finish(cut_off=cut_off)


def test_an_answer_that_is_cut_off_loses_its_last_sentence():
    first = "One two three four five six seven eight nine ten."
    assert end(f"{first} And this one goes on and on and on and on and on for ever.") == first


def test_an_answer_ends_after_enough_sentences():
    assert end("One. Two! Three? Four.", max_sentences=2) == "One. Two!"


def test_an_answer_that_ends_by_itself_is_whole():
    assert end("One two. Three four", cut_off=False) == "One two. Three four"


def test_titles_and_numbers_end_no_sentence():
    assert end("Mr. Dashwood and Dr. J. Smith paid 3.50 for it. Yes.", max_sentences=1) == (
        "Mr. Dashwood and Dr. J. Smith paid 3.50 for it."
    )


def test_the_oldest_turns_go_and_rarely():
    prompt = Prompt("Iris", PERSONA, EXAMPLES, 800)
    conversation, firsts = [], []
    for i in range(60):
        conversation += [
            {"role": "user", "content": f"question {i} " * 8},
            {"role": "assistant", "content": "yes " * 9},
        ]
        messages = prompt.messages(conversation)
        assert messages[: len(prompt.prefix)] == prompt.prefix
        assert messages[-2:] == [{**turn, "content": turn["content"].strip()} for turn in conversation[-2:]]
        assert cost(messages) <= 800 and messages[len(prompt.prefix)]["role"] == "user"
        firsts.append(messages[len(prompt.prefix)]["content"])
    assert 3 < len(set(firsts)) < 15
    assert prompt.messages([{"role": "user", "content": "new"}])[-1]["content"] == "new"


def test_content_in_parts_and_the_persona_twice():
    prompt = Prompt("Iris", PERSONA, (), 800)
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    messages = prompt.messages(
        [{"role": "system", "content": PERSONA}, {"role": "user", "content": parts}, {"role": "critic", "content": "x"}]
    )
    assert messages[len(prompt.prefix) :] == [{"role": "user", "content": "Look"}]
