"""The toolbox: whatever a tool does, the conversation gets a result it can read."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time

import pytest

from animacy.core.errors import PluginError, ToolError
from animacy.core.tools.registry import Limits, Toolbox
from animacy.core.tools.threads import MAX_ABANDONED, abandoned, in_thread
from tests.core.tools.sources import Listed, tool


async def toolbox_of(*tools, **settings):
    toolbox = Toolbox([("tools.0 (test)", Listed(*tools))], **settings)
    await toolbox.load()
    assert not toolbox.problems
    return toolbox


async def add(call):
    return call.arguments["a"] + call.arguments["b"]


async def forever(call):
    await asyncio.Event().wait()


ADD = tool("add", add, {"a": "integer", "b": {"type": "integer", "default": 1}})


async def test_a_call_is_checked_made_and_timed():
    toolbox = await toolbox_of(ADD)
    result = await toolbox.call("add", {"a": "2"})
    assert (result.ok, result.value, result.error) == (True, 3, None)
    assert result.for_model() == {"result": 3}
    assert result.seconds >= 0
    refused = [await toolbox.call(*call) for call in (("add", {"b": 1}), ("ad", {}), ("add", [1]), (None, None))]
    assert [result.status for result in refused] == ["refused"] * 4
    assert "'a' is missing" in refused[0].for_model()["error"]
    assert 'Did you mean "add"?' in refused[1].error
    await toolbox.close()
    assert (await toolbox.call("add", {"a": 1})).error == "the conversation is over"


async def test_one_broken_source_is_reported_and_the_others_work():
    good, clash = Listed(ADD), Listed(tool("add", forever), tool("Add!", forever), tool("other", add))
    broken, failing = Listed(error=ToolError("no server", "Start it.")), Listed(error=ZeroDivisionError("oh"))
    toolbox = Toolbox([("one", good), ("two", clash), ("three", broken), ("four", failing), ("five", Listed())])
    await toolbox.load()
    assert [listed.name for listed in toolbox.tools] == ["add", "other"]
    problems = sorted(str(problem) for problem in toolbox.problems)
    assert len(problems) == 4
    assert "four failed: ZeroDivisionError: oh" in problems[0]
    assert "three: no server\n  Start it." in problems[1]
    assert "two: a tool cannot be called 'Add!'" in problems[2]
    assert "two: another tool is called 'add' already\n  Rename" in problems[3]
    assert any(isinstance(problem, PluginError) for problem in toolbox.problems)
    assert (await toolbox.call("add", {"a": 1})).value == 2
    await toolbox.close()
    await toolbox.close()
    assert [source.closed for source in (good, clash, broken, failing)] == [1] * 4


async def test_whatever_a_tool_does_becomes_words():
    async def says(call):
        raise ToolError("There is no such order.", "not spoken")

    async def breaks(call):
        raise KeyError("/home/me/secret")

    async def leaves(call):
        sys.exit(3)

    toolbox = await toolbox_of(tool("says", says), tool("breaks_it", breaks), tool("leaves", leaves))
    results = [await toolbox.call(name, {}) for name in ("says", "breaks_it", "leaves")]
    assert [result.error for result in results] == [
        "There is no such order.",
        "breaks it did not work",
        "leaves did not work",
    ]
    assert {result.status for result in results} == {"failed"}
    await toolbox.close()


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, "done"),
        (0, 0),
        ([], []),
        ({"a": [1, "é"]}, {"a": [1, "é"]}),
        (math.nan, "nan"),
        ({"n": math.inf}, "{'n': inf}"),
        ("a\ud800b", "a?b"),
        ({1: "x"}, {"1": "x"}),
    ],
)
async def test_any_result_is_plain_json(value, read):
    async def run(call):
        return value

    toolbox = await toolbox_of(tool("run", run))
    assert (await toolbox.call("run", {})).for_model() == {"result": read}
    await toolbox.close()


@pytest.mark.parametrize("value", ["x" * 9000, ["word"] * 3000, 10**4000])
async def test_long_results_are_cut(value):
    async def run(call):
        return value

    toolbox = await toolbox_of(tool("run", run))
    read = (await toolbox.call("run", {})).value
    assert isinstance(read, str)
    assert 1900 < len(read) <= 2000
    await toolbox.close()


async def test_a_tool_that_never_returns_is_given_up_even_when_it_refuses_to_stop():
    released = asyncio.Event()

    async def stubborn(call):
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    toolbox = await toolbox_of(
        tool("slow", forever, timeout=0.05), tool("stubborn", stubborn, timeout=0.05), limits=Limits(abandoned=2)
    )
    assert (await toolbox.call("slow", {})).for_model() == {"error": "slow took too long"}
    await asyncio.sleep(0.01)
    assert toolbox.abandoned == 0
    for _ in range(2):
        assert (await toolbox.call("stubborn", {})).status == "timed out"
    assert toolbox.abandoned == 2
    assert "still hang" in (await toolbox.call("slow", {})).error
    released.set()
    await asyncio.sleep(0.01)
    assert toolbox.abandoned == 0
    assert (await toolbox.call("slow", {})).status == "timed out"
    await toolbox.close()


async def test_threads_that_hang_are_left_behind_and_counted():
    released = threading.Event()

    async def run(call):
        return await in_thread("hangs", released.wait)

    toolbox = await toolbox_of(tool("hangs", run, timeout=0.03))
    for _ in range(MAX_ABANDONED):
        assert (await toolbox.call("hangs", {})).status == "timed out"
    await asyncio.sleep(0.01)
    assert abandoned("hangs") == MAX_ABANDONED
    assert (await toolbox.call("hangs", {})).error == "that does not answer at the moment"
    assert await in_thread("another", time.sleep, 0) is None
    released.set()
    async with asyncio.timeout(5):
        while abandoned("hangs"):  # noqa: ASYNC110 - what is waited for happens in threads
            await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError, match="SystemExit"):
        await in_thread("leaves", sys.exit)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_thread("stops", next, iter(()))
    await toolbox.close()


async def test_calls_run_side_by_side_within_bounds():
    together = asyncio.Barrier(3)

    async def meet(call):
        await together.wait()

    toolbox = await toolbox_of(tool("meet", meet), limits=Limits(foreground=3))
    results = await asyncio.gather(*(toolbox.call("meet", {}) for _ in range(4)))
    assert sorted(result.status for result in results) == ["done"] * 3 + ["refused"]
    await toolbox.close()


async def test_an_interruption_cancels_what_is_waited_for_and_not_the_background():
    release = asyncio.Event()

    async def later(call):
        await release.wait()
        return "here"

    toolbox = await toolbox_of(
        tool("wait", forever), tool("later", later, background=True), limits=Limits(background=1)
    )
    waiting = asyncio.create_task(toolbox.call("wait", {}))
    background = asyncio.create_task(toolbox.call("later", {}))
    await asyncio.sleep(0.01)
    assert "too many" in (await toolbox.call("later", {})).error
    assert toolbox.cancel() == 1
    assert (await waiting).status == "cancelled"
    # Who awaits may be cancelled instead, as Pipecat does it.
    caller = asyncio.create_task(toolbox.call("wait", {}))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.sleep(0.01)
    assert toolbox.running == 1
    release.set()
    assert (await background).value == "here"
    assert toolbox.running == toolbox.abandoned == 0
    await toolbox.close()


async def test_a_background_call_that_nobody_awaits_still_ends_in_time():
    toolbox = await toolbox_of(tool("later", forever, background=True, timeout=0.05))
    caller = asyncio.create_task(toolbox.call("later", {}))
    await asyncio.sleep(0.01)
    caller.cancel()
    await asyncio.sleep(0.01)
    assert toolbox.running == 1
    await asyncio.sleep(0.1)
    assert toolbox.running == 0
    await toolbox.close()


async def test_close_ends_everything():
    before = asyncio.all_tasks()
    toolbox = await toolbox_of(tool("wait", forever), tool("later", forever, background=True))
    calls = [asyncio.create_task(toolbox.call(name, {})) for name in ("wait", "later")]
    await asyncio.sleep(0.01)
    await toolbox.close()
    assert [(await call).status for call in calls] == ["cancelled"] * 2
    assert asyncio.all_tasks() == before
