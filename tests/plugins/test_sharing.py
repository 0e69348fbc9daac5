"""Visitors come and go beside one that stays: their models are the same, and nothing is left of those who went."""

import asyncio
import gc
import threading
import time
from pathlib import Path

import pytest

from animacy.core.provider import CharacterContext
from animacy.core.video.contract import Portrait, VideoFormat
from tests.conftest import RECIPES

CHARACTER = CharacterContext(
    "Iris", persona="You are Iris.", openings=("Ah, good question!", "Well, let me see."), language="en-GB"
)
SETTINGS = {"llm": {"model": "smollm2-135m"}}


class Renderer:
    """A renderer with the names of the others."""

    def __init__(self, product):
        self.product = product

    async def load(self):
        await self.product.start(Portrait(RECIPES / "iris" / "image.jpg"), VideoFormat(320, 180))

    async def cleanup(self):
        await self.product.close()


@pytest.fixture(params=["stt:whisper", "llm:llama", "tts:kokoro", "tts:piper", "video:portrait"])
def create(request, plugins):
    role, name = request.param.split(":")
    provider = plugins.get(role, name)
    settings = provider.settings(**SETTINGS.get(role, {}))

    def made():
        product = provider.create(settings, CHARACTER)
        return Renderer(product) if role == "video" else product

    return made


def resident():
    """Bytes of memory in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def cycle(create, count):
    for _ in range(count):
        visitor = create()
        await visitor.load()
        await visitor.cleanup()


async def test_a_hundred_visitors_beside_one_that_stays(create):
    stays = create()
    began = time.monotonic()
    await stays.load()
    first = time.monotonic() - began
    await cycle(create, 5)
    memory, threads, tasks = resident(), threading.active_count(), len(asyncio.all_tasks())
    began = time.monotonic()
    await cycle(create, 100)
    each = (time.monotonic() - began) / 100
    print(f"first {first:.2f} s, then {1000 * each:.1f} ms each")
    assert threading.active_count() == threads and len(asyncio.all_tasks()) == tasks
    assert resident() - memory < 20e6
    await stays.cleanup()
    await stays.cleanup()


async def test_many_at_once_and_some_give_up(create):
    before = set(threading.enumerate())
    visitors = [create() for _ in range(6)]
    loading = [asyncio.create_task(visitor.load()) for visitor in visitors]
    await asyncio.sleep(0.05)
    for one in loading[::2]:
        one.cancel()
    results = await asyncio.gather(*loading, return_exceptions=True)
    assert [result for result in results[1::2] if result is not None] == []
    await asyncio.gather(*(visitor.cleanup() for visitor in visitors))
    for _ in range(300):
        left = [thread for thread in threading.enumerate() if thread not in before and "asyncio" not in thread.name]
        if not left:
            break
        await asyncio.sleep(0.02)
    assert not left
