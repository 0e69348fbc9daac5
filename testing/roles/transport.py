"""Connections to the user, as far as they can be tried without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputTransportReadyFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.errors import AnimacyError, InputError
from animacy.core.pipeline.frames import CharacterChunkFrame
from animacy.core.pipeline.host import Host
from animacy.core.pipeline.transport import Server, Transport
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import load_recipe
from animacy.core.video.contract import RenderedChunk
from animacy.testing.bench import Bench
from animacy.testing.rule import NotJudgedError, Rule, Suite, expect
from animacy.testing.sound import BYTES
from animacy.testing.stage import on_stage
from animacy.testing.watch import Living

OPEN_SECONDS = 60.0
CLOSE_SECONDS = 10.0
READY_SECONDS = 5.0
CHUNKS = 24


class _Between(FrameProcessor):
    """Where the conversation would be: keeps what the user's side sends, and what the far end says of itself."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)
        self.heard: list[InputAudioRawFrame] = []
        self.ready = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.heard.append(frame)
            return
        self.ready = self.ready or isinstance(frame, OutputTransportReadyFrame)
        await self.push_frame(frame, direction)


async def carries(bench: Bench) -> str | None:
    """Sound comes from the user as the ears want it, and the character's chunks go out."""
    async with _opened(bench) as transport:
        ends, between = (transport.input(), transport.output()), _Between()
        expect(all(isinstance(end, FrameProcessor) for end in ends), "its ends are no Pipecat processors")
        async with on_stage(bench.character, ends[0], between, ends[1]) as stage:
            ready = await stage.until(lambda: between.ready, READY_SECONDS)
            for chunk in _chunks(bench):
                await stage.send(CharacterChunkFrame(chunk))
                await asyncio.sleep(1 / bench.material.video.fps)
            stage.expect_no_errors()
    rate = bench.character.input_sample_rate
    for frame in between.heard:
        expect(frame.sample_rate == rate, f"the user's sound has {frame.sample_rate} Hz, the ears expect {rate}")
        expect(frame.num_channels == 1 and len(frame.audio) % BYTES == 0, "the user's sound is not mono of 16 bits")
    sound = f"{len(between.heard)} pieces of sound came"
    return sound if ready else f"{sound}; its output was not ready without somebody at the other end"


async def opens(bench: Bench) -> str | None:
    """What cannot work is told before any model is loaded."""
    async with _opened(bench) as transport:
        delay = transport.playout_delay
        expect(isinstance(transport.greets, bool), "`greets` is neither True nor False")
        expect(isinstance(delay, int | float) and 0 <= delay < 10, f"`playout_delay` is {delay}: seconds are expected")
    return None


async def closes(bench: Bench) -> str | None:
    """Whatever went before: without an open, twice, without ever running."""
    unused = _transport(bench)
    await unused.close()
    await unused.close()
    async with _opened(bench) as transport:
        await _in_time(transport.close(), "close")
    return None


async def serves(bench: Bench) -> str | None:
    """Takes the port before the models are loaded, lets people in, and lets go of it."""
    server = _server(bench)
    address = await _in_time(server.bind(), "bind", OPEN_SECONDS)
    before, host = Living(), await _host(bench)
    serving = asyncio.create_task(server.serve(host), name="serving")
    try:
        where = urlsplit(address)
        expect(where.scheme and where.port, f"bind returned {address!r}, which is no address for people")
        _, writer = await asyncio.wait_for(asyncio.open_connection(where.hostname, where.port), CLOSE_SECONDS)
        writer.close()
        await asyncio.sleep(0.1)
        expect(not serving.done(), "serve ends though nobody cancelled it")
        told = await _taken(bench, where.port or 0)
    finally:
        serving.cancel()
        _, slow = await asyncio.wait({serving}, timeout=CLOSE_SECONDS)
        await host.close()
    expect(not slow, f"serve does not end within {CLOSE_SECONDS:.0f} s of being cancelled")
    try:
        await asyncio.wait_for(asyncio.open_connection(where.hostname, where.port), CLOSE_SECONDS)
        expect(False, f"the port {where.port} is still open after serving")
    except OSError:
        pass
    left = await before.newcomers()
    expect(not left, f"after serving there still is {', '.join(left)}")
    return f"{address}{told}"


async def _taken(bench: Bench, port: int) -> str:
    """A second one on the same port."""
    if "port" not in bench.provider.settings.model_fields:
        return ""
    second = bench.make(bench.validated({**bench.given, "port": port}))
    try:
        await second.bind()
    except InputError as error:
        expect(error.remedy, f"a port that is taken is told without a remedy: {error}")
        return f"; a second one there is told: {error.args[0]}"
    expect(False, "a port that is taken is bound a second time, or another one in its place")
    return ""


def _transport(bench: Bench) -> Any:
    product = bench.make()
    if isinstance(product, Server):
        raise NotJudgedError("it is a server: each of its visitors is a transport of its own")
    return product


def _server(bench: Bench) -> Any:
    product = bench.make()
    if not isinstance(product, Server):
        raise NotJudgedError("it is no server")
    return product


@contextlib.asynccontextmanager
async def _opened(bench: Bench) -> AsyncIterator[Any]:
    transport = _transport(bench)
    try:
        try:
            await _in_time(transport.open(bench.material.video), "open", OPEN_SECONDS)
        except AnimacyError as error:
            bench.note(error)
            expect(error.remedy, f"it does not open, and nothing says what to do: {error}")
            raise NotJudgedError(f"it cannot be opened here: {error}") from None
        yield transport
    finally:
        await _in_time(transport.close(), "close")
        await _in_time(transport.close(), "close")


async def _in_time(work: Any, what: str, seconds: float = CLOSE_SECONDS) -> Any:
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        expect(False, f"{what} is not done after {seconds:.0f} s")


def _chunks(bench: Bench) -> list[RenderedChunk]:
    video = bench.material.video
    frame = np.full((video.height, video.width, 3), 128, np.uint8)
    return [RenderedChunk(index, (frame,), bytes(BYTES * video.samples_per_frame), 1) for index in range(CHUNKS)]


async def _host(bench: Bench) -> Host:
    """The host of a character whose models are never loaded."""
    recipe = bench.folder / "recipe.yaml"
    character = {"name": bench.character.name, "image": str(bench.material.portrait.image), "persona": "A guide."}
    recipe.write_text(json.dumps({"character": character}))
    plugins = await bench.blocking(lambda: Plugins().load())
    return Host(await bench.blocking(load_recipe, recipe, plugins), plugins, bench.said.append)


async def _load(bench: Bench, product: Any) -> None:
    """Nothing: it is opened when a conversation begins."""


async def _close(bench: Bench, product: Any) -> None:
    if isinstance(product, Transport):
        await product.close()


async def _use(bench: Bench, product: Any) -> Sequence[BaseException]:
    if isinstance(product, Transport):
        await product.open(bench.material.video)
    return []


SUITE = Suite(
    (Transport, Server),
    "an animacy.core.pipeline.transport.Transport, or a Server",
    _load,
    _close,
    (
        Rule("opens, or says why not", opens),
        Rule("carries sound and pictures", carries),
        Rule("closes at any time", closes),
        Rule("serves and lets go", serves),
    ),
    use=_use,
    kept=False,
)
