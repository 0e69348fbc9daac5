"""What goes wrong on a live connection, against the real server with the real models: nothing leaks, nobody is locked
out, and the conversation goes on where it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
from pathlib import Path

import aiohttp
import pytest

from animacy.plugins.web.headless import HeadlessClient, RefusedError
from animacy.plugins.web.protocol import MAX_BINARY, CloseCode
from animacy.plugins.web.server import MAX_JUNK
from tests.plugins.web.conftest import serving

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="session")]


async def until(condition, seconds: float = 15.0) -> None:
    """Wait for something that nobody announces."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what is waited for is seen from outside
            await asyncio.sleep(0.05)


async def nobody_left(live, seconds: float = 15.0) -> None:
    """Wait until every session has ended."""
    await until(lambda: not live.host.metrics.snapshot().sessions.live, seconds)


async def newest_pts(client: HeadlessClient, after: float = -1.0) -> float:
    return await client.until(
        lambda: (
            client.playout.pictures[-1].pts
            if client.playout.pictures and client.playout.pictures[-1].pts > after
            else None
        )
    )


async def test_the_stop_button(live):
    """`interrupt` cuts the character off: the client is told to drop the turn and nothing more of it comes."""
    async with HeadlessClient(live.url) as client:
        speaking = await client.until(lambda: next((p for p in client.playout.pictures if p.turn), None))
        await client.tell("interrupt")
        flush = await client.message("flush")
        assert flush.data == {"turn": speaking.turn, "at": flush.data["at"], "final": True}
        last = await newest_pts(client)
        await newest_pts(client, last + 0.8)
        late = [p for p in client.playout.pictures if p.pts >= flush.data["at"] / 1e6 and p.turn == speaking.turn]
        assert not late
    await nobody_left(live)


async def test_the_socket_dies_in_the_middle_of_an_answer(live):
    """Taken up again with the same token: same session, the time line goes on, and nothing is said twice."""
    async with HeadlessClient(live.url) as first:
        speaking = await first.until(lambda: next((p for p in first.playout.pictures if p.turn), None))
        first.abort()
        await first.wait_ended()
        cut = first.playout.pictures[-1].pts
    async with HeadlessClient(live.url, session=first.session) as second:
        assert second.session == first.session
        assert second.welcome["resumed"] is True
        pictures = await second.until(lambda: list(second.playout.pictures) if second.playout.pictures else None)
        assert pictures[0].key, "a new connection begins with a key frame"
        assert cut < pictures[0].pts < cut + 3
        await second.silence(1.0)
        assert {p.turn for p in second.playout.pictures} <= {0, speaking.turn}
    await nobody_left(live)


async def test_nobody_comes_back(live):
    client = HeadlessClient(live.url)
    await client.__aenter__()
    client.abort()
    await client.close()
    assert live.host.metrics.snapshot().sessions.live == 1
    await nobody_left(live)
    with_old_token = HeadlessClient(live.url, session=client.session)
    async with with_old_token:
        assert with_old_token.welcome["resumed"] is False
        assert with_old_token.session != client.session
    await nobody_left(live)


async def test_two_tabs(live):
    """Another visitor is told that the character is busy; the same visitor's new tab takes over from the old one."""
    async with HeadlessClient(live.url) as first:
        with pytest.raises(RefusedError) as refused:
            await HeadlessClient(live.url).__aenter__()
        assert refused.value.reason == "busy"
        assert "Iris is talking with somebody else" in str(refused.value)
        async with HeadlessClient(live.url, session=first.session) as second:
            assert await first.wait_ended() == CloseCode.REPLACED
            await newest_pts(second)
    await nobody_left(live)


async def test_who_went_away_yields_to_who_is_here(live):
    first = HeadlessClient(live.url)
    await first.__aenter__()
    first.abort()
    await first.close()
    async with HeadlessClient(live.url) as second:
        assert second.welcome["resumed"] is False
        await newest_pts(second)
    await nobody_left(live)


async def test_several_visitors_at_once(iris, models):
    async with (
        serving(iris, {"sessions": 2}) as two,
        HeadlessClient(two.url, audio=("opus",)) as one,
        HeadlessClient(two.url) as other,
    ):
        assert one.session != other.session
        await asyncio.gather(one.silence(), other.silence())
        for client in (one, other):
            await client.tell_rtvi("send-text", content="What is your name?")
        for client in (one, other):
            stages = (await client.message("waterfall", within=60)).data
            assert stages["user"] == "What is your name?"
            assert stages["first_response_frame"] > 0
            assert "Iris" in stages["character"]
        with pytest.raises(RefusedError):
            await HeadlessClient(two.url).__aenter__()


async def test_a_client_that_stops_reading(live):
    """It is let go after the grace time, and meanwhile no more than a second of media is kept for it."""
    client = HeadlessClient(live.url)
    await client.__aenter__()
    await newest_pts(client)
    client.stop_reading()
    await nobody_left(live, 40.0)
    await client.close()
    async with HeadlessClient(live.url) as next_one:
        await newest_pts(next_one)
    await nobody_left(live)


JUNK = [
    b"",
    b"\x10",
    b"\xff" * 40,
    bytes([1]) + bytes(15) + b"video from a client",
    "",
    "null",
    "[]",
    '{"type": "stats"}',
    '{"label": "animacy", "type": "stats", "data": {"rtt_ms": "NaN", "buffer_ms": -1e308, "av_offset_ms": [null]}}',
    '{"label": "animacy", "type": "ping"}',
    '{"label": "animacy", "type": "flushed", "data": {"turn": {}}}',
    '{"label": "rtvi-ai", "type": "no-such-type", "id": "1", "data": {}}',
    '{"label": "rtvi-ai", "type": "send-text", "id": "1", "data": {"content": 3}}',
    '{"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": []}}',
    "{" * 5000,
]


async def test_garbage_does_no_harm(live):
    """A client that sends junk between what is right is still answered."""
    async with HeadlessClient(live.url) as client:
        await client.silence(1.0)
        chance = random.Random(1)
        for data in [*JUNK, *(chance.randbytes(chance.randint(0, 99)) for _ in range(20))]:
            await client.send_raw(data)
        # A camera that sends no pictures, and sound at ten times the speed.
        await client.send_raw(bytes([17]) + bytes(15) + b"not a jpeg")
        for _ in range(100):
            await client.send_raw(bytes([16]) + bytes(15) + bytes(641))
        greeted = max(picture.turn for picture in client.playout.pictures)
        await client.tell_rtvi("send-text", content="What is your name?")
        await client.until(lambda: next((p for p in client.playout.pictures if p.turn > greeted), None))
    await nobody_left(live)


async def test_nothing_but_garbage_is_sent_away(live):
    client = HeadlessClient(live.url)
    await client.__aenter__()
    for _ in range(MAX_JUNK + 5):
        await client.send_raw(b"?")
    assert await client.wait_ended() == CloseCode.NOT_THIS_PROTOCOL
    await client.close()
    await nobody_left(live)


async def test_a_message_that_is_too_long(live):
    client = HeadlessClient(live.url)
    await client.__aenter__()
    await client.send_raw(bytes(MAX_BINARY + 10_000))
    assert await client.wait_ended() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    await client.close()
    await nobody_left(live)


@pytest.mark.parametrize(
    "first", ['{"label": "animacy", "type": "bye"}', b"\x10" * 20, '{"label": "animacy", "type": "stats", "data": {}}']
)
async def test_who_does_not_say_hello(live, first):
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{live.url}/api/live") as ws:
        await (ws.send_bytes(first) if isinstance(first, bytes) else ws.send_str(first))
        told = await ws.receive_json()
        assert told["type"] == "refused" and "hello" in told["data"]["message"]
        await ws.receive()
        assert ws.close_code == CloseCode.NOT_THIS_PROTOCOL


async def test_no_common_format(live):
    with pytest.raises(RefusedError, match="h264, vp8"):
        await HeadlessClient(live.url, video=("theora",)).__aenter__()


async def test_pages_of_other_sites_may_not_connect(live, iris, models):
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{live.url}/api/live", origin="https://elsewhere.example")
        assert refused.value.status == 403
        async with (
            serving(iris, origins=("https://elsewhere.example",)) as open_one,
            http.ws_connect(f"{open_one.url}/api/live", origin="https://elsewhere.example") as ws,
        ):
            assert not ws.closed


async def test_the_time_limit(iris, models):
    async with serving(iris, {"max_duration": 1.5}) as short:
        client = HeadlessClient(short.url)
        await client.__aenter__()
        assert await client.wait_ended() == CloseCode.TIME_LIMIT
        assert [m.data["reason"] for m in client.messages if m.type == "bye"] == ["time limit"]
        await client.close()


async def test_the_server_closes_with_somebody_there(iris, models):
    async with serving(iris) as closing:
        client = HeadlessClient(closing.url)
        await client.__aenter__()
        await newest_pts(client)
    assert await client.wait_ended() == CloseCode.CLOSING
    await client.close()


OPEN_FILES = Path("/proc/self/fd")


def footprint() -> tuple[int, int, int]:
    gc.collect()
    tasks = [task for task in asyncio.all_tasks() if not task.done()]
    # Those of the loop's own pool stay for the next one: how many there are is how much there was to do at once.
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return len(tasks), len(threads), len(list(OPEN_FILES.iterdir()))


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="open files are counted in /proc, which Linux has")
async def test_a_hundred_come_and_go(live):
    """In all the ways there are to go. Tasks, threads and open files are as many as before."""
    await nobody_left(live)
    async with HeadlessClient(live.url) as warm:
        await newest_pts(warm)
    await nobody_left(live)
    before = footprint()
    chance = random.Random(0)
    for _ in range(100):
        client = HeadlessClient(live.url)
        await client.__aenter__()
        if chance.random() < 0.3:
            await newest_pts(client)
        if chance.random() < 0.5:
            await client.tell("bye")
            await client.wait_ended()
        else:
            client.abort()
        await client.close()
    await nobody_left(live)
    # What was closed last may take a moment to be gone.
    with contextlib.suppress(TimeoutError):
        await until(lambda: all(now <= then for now, then in zip(footprint(), before, strict=True)))
    assert all(now <= then for now, then in zip(footprint(), before, strict=True)), (before, footprint())
