"""The engine as a process: callers come over a socket, their characters are stepped together, frames go out in memory.

`animacy.engine.protocol` says what is said. Whatever a caller has is released when its connection ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from animacy.core.errors import AnimacyError
from animacy.engine import protocol
from animacy.engine.address import Address
from animacy.engine.audio import SpeechWindows
from animacy.engine.errors import EngineError
from animacy.engine.frame_ring import FrameRing
from animacy.engine.protocol import Message, ProtocolError
from animacy.engine.scheduler import Character, Scheduler

MOST_SLOTS = 8
_RATES = range(8_000, 192_001)

Memory = Callable[[], dict[str, dict[str, int]]]


class EngineServer:
    """Serves one engine at one address. All methods belong to one event loop.

    Args:
        scheduler: runs the engine; started and closed here.
        ready: what callers are told once it can draw.
        memory: bytes of each device, for `Health`.
    """

    def __init__(self, scheduler: Scheduler, ready: protocol.Ready, memory: Memory) -> None:
        self.scheduler, self.ready, self.memory = scheduler, ready, memory
        self._progress = protocol.Progress(text="starting", done=0.0)
        self._connections: set[_Connection] = set()

    async def serve(self, address: Address, listening: Callable[[Address], None]) -> None:
        """Serve until cancelled. Raises the engine's error when it fails, having told all callers."""
        server, address = await address.listen(self._call)
        listening(address)
        self.scheduler.start()
        try:
            await asyncio.wrap_future(self.scheduler.ready)
            self._tell(self.ready)
            await asyncio.wrap_future(self.scheduler.ended)
        except Exception as error:
            self._tell(_failed(error))
            raise
        finally:
            server.close()
            for connection in list(self._connections):
                connection.hang_up()
            address.remove()
            await asyncio.to_thread(self.scheduler.close)

    def tell_progress(self, text: str, done: float) -> None:
        """Tell all callers how far loading is."""
        self._progress = protocol.Progress(text=text, done=done)
        self._tell(self._progress)

    def _tell(self, message: Message) -> None:
        for connection in self._connections:
            connection.send(message)

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            connection.send(protocol.Hello(version=protocol.VERSION))
            is_ready = self.scheduler.ready.done() and self.scheduler.ready.exception() is None
            connection.send(self.ready if is_ready else self._progress)
            await connection.serve()
        finally:
            self._connections.discard(connection)


@dataclass(slots=True)
class _Seat:
    """A character, and the memory that its caller reads its frames from."""

    character: Character
    ring: FrameRing
    samples: int


class _Connection:
    """One caller."""

    def __init__(self, server: EngineServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        self._loop = asyncio.get_running_loop()
        self._seats: dict[int, _Seat] = {}
        self._handlers: dict[type[Any], Callable[[Any, bytes], Awaitable[None]]] = {
            protocol.Admit: self._admit,
            protocol.Attached: self._attached,
            protocol.Step: self._step,
            protocol.Interrupt: self._interrupt,
            protocol.Release: self._release,
            protocol.Ask: self._ask,
        }

    def send(self, message: Message) -> None:
        """Say something, unless the caller has gone."""
        if not self._writer.is_closing():
            self._writer.write(protocol.encode(message))

    async def serve(self) -> None:
        """Do what the caller says until it hangs up, or says what nobody can understand."""
        try:
            while (received := await protocol.receive(self._reader)) is not None:
                message, payload = received
                handler = self._handlers.get(type(message))
                if handler is None:
                    raise ProtocolError(f"a caller does not say {type(message).__name__.lower()}")
                await handler(message, payload)
                await self._writer.drain()
        except ProtocolError as error:
            self.send(_failed(error))
        except ConnectionError:
            pass
        finally:
            for session in list(self._seats):
                self._leave(session)
            self.hang_up()

    def hang_up(self) -> None:
        """End the connection, when all that was said has gone out."""
        self._writer.close()

    async def _admit(self, message: protocol.Admit, payload: bytes) -> None:
        try:
            admitted = await self._take_in(message, payload)
        except EngineError as error:
            self.send(protocol.Refused(id=message.id, error=error.args[0], remedy=error.remedy))
        else:
            self.send(admitted)

    async def _take_in(self, message: protocol.Admit, payload: bytes) -> protocol.Admitted:
        server, ready = self._server, self._server.ready
        if not server.scheduler.ready.done():
            raise EngineError("the engine is still loading", "wait until it says that it is ready")
        shape = (ready.height, ready.width, 3)
        if len(payload) != np.prod(shape):
            raise EngineError(f"the picture has {len(payload)} bytes", f"send {ready.width}x{ready.height} RGB")
        samples, rest = divmod(message.sample_rate * ready.frames, ready.fps)
        if rest or message.sample_rate not in _RATES:
            raise EngineError(
                f"speech at {message.sample_rate} Hz has no whole samples an iteration", "send it at 24000 Hz"
            )
        if not 1 <= message.slots <= MOST_SLOTS:
            raise EngineError(f"{message.slots} slots were asked for", f"ask for 1 to {MOST_SLOTS}")
        preset = server.scheduler.preset
        audio = preset.dit.audio
        windows = None
        if audio is not None:
            windows = SpeechWindows(audio, message.sample_rate, ready.fps, preset.vae.temporal_factor)
        image = np.frombuffer(bytearray(payload), np.uint8).reshape(shape)
        character = await asyncio.wrap_future(server.scheduler.admit(image, windows, message.seed))
        ring = FrameRing.create((message.slots, ready.frames, *shape))
        self._seats[character.session] = _Seat(character, ring, samples)
        return protocol.Admitted(
            id=message.id,
            session=character.session,
            memory=ring.name,
            samples=samples,
            look_ahead=windows.look_ahead if windows else 0,
        )

    async def _attached(self, message: protocol.Attached, _: bytes) -> None:
        self._seat(message.session).ring.unlink()

    async def _step(self, message: protocol.Step, payload: bytes) -> None:
        seat = self._seat(message.session)
        if not 0 <= message.slot < len(seat.ring.chunks):
            raise ProtocolError(f"there is no slot {message.slot}")
        if len(payload) % 2 or 0 < len(payload) < 2 * seat.samples:
            raise ProtocolError(f"{len(payload)} bytes of speech are less than the {2 * seat.samples} of a chunk")
        pcm = np.frombuffer(payload or bytes(2 * seat.samples), "<i2")
        done = self._server.scheduler.request(
            seat.character, pcm[: seat.samples], pcm[seat.samples :], partial(seat.ring.write, message.slot)
        )
        done.add_done_callback(partial(self._drawn, protocol.Frames(session=message.session, slot=message.slot)))

    def _drawn(self, frames: protocol.Frames, done: Future[None]) -> None:
        """Called in another thread when a chunk is in its slot, or never will be."""
        if done.exception() is None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self.send, frames)

    async def _interrupt(self, message: protocol.Interrupt, _: bytes) -> None:
        self._server.scheduler.interrupt(self._seat(message.session).character)

    async def _release(self, message: protocol.Release, _: bytes) -> None:
        self._seat(message.session)
        self._leave(message.session)

    async def _ask(self, message: protocol.Ask, _: bytes) -> None:
        scheduler = self._server.scheduler
        median, worst = scheduler.milliseconds()
        self.send(
            protocol.Health(
                id=message.id,
                preset=self._server.ready.preset,
                sessions=scheduler.count,
                capacity=self._server.ready.capacity,
                iteration_ms_p50=round(median, 2),
                iteration_ms_p99=round(worst, 2),
                memory=self._server.memory(),
            )
        )

    def _seat(self, session: int) -> _Seat:
        if session not in self._seats:
            raise ProtocolError(f"session {session} is not this caller's")
        return self._seats[session]

    def _leave(self, session: int) -> None:
        seat = self._seats.pop(session)
        self._server.scheduler.release(seat.character)
        seat.ring.close()


def _failed(error: BaseException) -> protocol.Failed:
    if isinstance(error, AnimacyError):
        return protocol.Failed(error=error.args[0], remedy=error.remedy)
    return protocol.Failed(error=f"the engine failed: {type(error).__name__}: {error}")
