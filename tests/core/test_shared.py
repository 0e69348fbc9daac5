"""What several conversations use together: made once, used in one thread, freed once."""

import asyncio
import gc
import threading
import time
import weakref

import pytest

from animacy.core.shared import Share
from animacy.core.threads import Priority


class Engine:
    """Something heavy that notes in which thread things happen to it."""

    def __init__(self, log):
        self.log = log
        log.append(("made", threading.get_ident()))

    def work(self, seconds=0.0):
        time.sleep(seconds)
        self.log.append(("worked", threading.get_ident()))
        return threading.get_ident()

    def close(self):
        self.log.append(("closed", threading.get_ident()))


@pytest.fixture
def log():
    return []


@pytest.fixture
def share(log, request):
    def make(delay=0.0, key=request.node.name):
        def engine():
            time.sleep(delay)
            return Engine(log)

        return Share((key,), engine, Engine.close)

    return make


def kinds(log):
    return [kind for kind, _ in log]


async def until(condition):
    for _ in range(300):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be")


def threads(share):
    return [thread for thread in threading.enumerate() if thread.name.startswith(share._key[0])]


async def test_all_get_the_same_and_the_last_one_frees_it(share, log):
    shares = [share(0.05) for _ in range(5)]
    values = await asyncio.gather(*(one.load() for one in shares))
    assert len(set(map(id, values))) == 1 and kinds(log) == ["made"]
    for one in shares[:-1]:
        one.release()
        one.release()
    assert await shares[-1].run(values[0].work) == log[0][1]
    shares[-1].release()
    await until(lambda: not threads(shares[0]))
    assert kinds(log) == ["made", "worked", "closed"] and len({thread for _, thread in log}) == 1


async def test_other_keys_are_strangers(share):
    first, second = share(key="one"), share(key="two")
    assert await first.load() is not await second.load()
    first.release()
    second.release()


async def test_after_the_last_one_it_is_made_anew(share, log):
    first, second = share(), share()
    await first.load()
    first.release()
    await second.load()
    second.release()
    await until(lambda: kinds(log).count("closed") == 2)
    assert kinds(log).count("made") == 2


async def test_jobs_are_done_before_it_is_freed(share, log):
    one = share()
    value = await one.load()
    jobs = [asyncio.ensure_future(one.run(value.work, 0.02)) for _ in range(3)]
    await asyncio.sleep(0)
    one.release()
    await asyncio.gather(*jobs)
    await until(lambda: not threads(one))
    assert kinds(log) == ["made", *["worked"] * 3, "closed"]


async def test_a_job_that_waits_can_be_cancelled(share, log):
    one = share()
    value = await one.load()
    first = asyncio.ensure_future(one.run(value.work, 0.1))
    second = asyncio.ensure_future(one.run(value.work))
    await asyncio.sleep(0.02)
    second.cancel()
    await first
    one.release()
    await until(lambda: not threads(one))
    assert kinds(log) == ["made", "worked", "closed"]


async def test_who_gives_up_while_it_is_made_disturbs_nobody(share, log):
    patient, hasty = share(0.1), share(0.1)
    waits, gives_up = asyncio.create_task(patient.load()), asyncio.create_task(hasty.load())
    await asyncio.sleep(0.02)
    gives_up.cancel()
    value = await waits
    hasty.release()
    assert await patient.run(value.work) and kinds(log) == ["made", "worked"]
    patient.release()
    await until(lambda: kinds(log)[-1] == "closed")


async def test_when_the_only_one_gives_up_it_is_freed_once_it_is_made(share, log):
    hasty = share(0.1)
    loading = asyncio.create_task(hasty.load())
    await asyncio.sleep(0.02)
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    await until(lambda: not threads(hasty))
    assert kinds(log) == ["made", "closed"]


async def test_cancelled_jobs_do_not_lose_the_share(share):
    one = share()
    value = await one.load()
    for _ in range(5):
        job = asyncio.create_task(one.run(value.work))
        await asyncio.sleep(0)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
    assert one.value is value
    one.release()


async def test_a_failure_is_told_to_all_and_the_next_one_tries_again():
    tries = []

    def make():
        tries.append(1)
        time.sleep(0.05)
        if len(tries) == 1:
            raise ValueError("not this time")
        return "value"

    shares = [Share(("failing",), make) for _ in range(3)]
    results = await asyncio.gather(*(one.load() for one in shares), return_exceptions=True)
    assert [str(result) for result in results] == ["not this time"] * 3
    with pytest.raises(RuntimeError, match="failing is not loaded"):
        _ = shares[0].value
    assert await shares[0].load() == "value" and len(tries) == 2
    for one in shares:
        one.release()
    await until(lambda: not threads(shares[0]))


def test_loops_of_several_threads_share_too(share, log):
    found = []

    def converse():
        async def hold():
            one = share(0.05)
            value = await one.load()
            await one.run(value.work)
            found.append(value)
            await asyncio.sleep(0.1)
            one.release()

        asyncio.run(hold())

    users = [threading.Thread(target=converse) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert len(set(map(id, found))) == 1 and kinds(log).count("made") == 1


async def test_what_was_freed_is_forgotten(share):
    one = share()
    value = weakref.ref(await one.load())
    one.release()
    await until(lambda: not threads(one))
    gc.collect()
    assert value() is None


async def test_its_thread_gives_way_to_the_picture():
    import os

    one = Share(("niceness",), lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    nice = await one.load()
    one.release()
    assert nice == os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) + Priority.THINKING
