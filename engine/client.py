"""Calling an engine process. Needs no PyTorch."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from animacy.engine import protocol
from animacy.engine.address import Address
from animacy.engine.errors import EngineError, EngineGoneError
from animacy.engine.frame_ring import FrameRing
from animacy.engine.protocol import Message, ProtocolError

RGB = NDArray[np.uint8]
PCM = NDArray[np.int16]
SLOTS = 3
"""Two chunks may be on their way while the frames of another are read."""


class EngineClient:
    """A connection to an engine process. All methods belong to one event loop.

    Make one with `connect`. `engine` is what it draws.
    """

    def __init__(self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.address = address
        self.engine: protocol.Ready
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._sessions: dict[int, EngineSession] = {}
        self._lost: EngineError | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, address: Address, progress: Callable[[str, float], None] = lambda text, done: None
    ) -> EngineClient:
        """Call the engine and wait until it can draw.

        Raises:
            EngineGoneError: none answers, or it went away.
            EngineError: it says why it cannot draw, or is of another version.
        """
        try:
            reader, writer = await address.connect()
        except OSError as error:
            raise EngineGoneError(
                f"no engine answers at {address}", "start one: animacy engine serve --address " + str(address)
            ) from error
        client = cls(address, reader, writer)
        try:
            client.engine = await client._until_ready(progress)
        except BaseException:
            writer.close()
            raise
        client._task = asyncio.create_task(client._listen(), name="engine client")
        return client

    async def admit(self, image: RGB, sample_rate: int, seed: int = 0) -> EngineSession:
        """Take a character in.

        Args:
            image: (height, width, 3) of the engine's size.
            sample_rate: of its speech, in Hz.
            seed: of its noise.

        Raises:
            EngineError: the engine is full, or what it says.
        """
        number = next(self._numbers)
        request = protocol.Admit(id=number, sample_rate=sample_rate, seed=seed, slots=SLOTS)
        admitted = await self._ask(number, request, np.ascontiguousarray(image).tobytes())
        shape = (SLOTS, self.engine.frames, self.engine.height, self.engine.width, 3)
        try:
            ring = FrameRing.attach(admitted.memory, shape)
        except FileNotFoundError as error:
            self.send(protocol.Release(session=admitted.session))
            raise EngineError(f"the engine at {self.address} shares no memory with this process") from error
        session = self._sessions[admitted.session] = EngineSession(self, admitted, ring)
        self.send(protocol.Attached(session=admitted.session))
        return session

    async def health(self) -> protocol.Health:
        """How the engine is."""
        number = next(self._numbers)
        health: protocol.Health = await self._ask(number, protocol.Ask(id=number))
        return health

    async def close(self) -> None:
        """Hang up, which releases all sessions. May be called twice."""
        self._lose(EngineError("the connection to the engine was closed"))
        self._writer.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Say something. Raises EngineGoneError when the engine has gone."""
        if self._lost is not None:
            raise self._lost
        self._writer.write(protocol.encode(message, payload))

    def forget(self, session: int) -> None:
        """No more frames of this session are waited for."""
        self._sessions.pop(session, None)

    async def _ask(self, number: int, message: Message, payload: bytes = b"") -> Any:
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self.send(message, payload)
            return await answer
        finally:
            del self._answers[number]

    async def _until_ready(self, progress: Callable[[str, float], None]) -> protocol.Ready:
        while True:
            match await self._receive():
                case protocol.Hello(version=version) if version != protocol.VERSION:
                    raise EngineError(
                        f"the engine at {self.address} speaks version {version}, this program {protocol.VERSION}",
                        "use the same version of Animacy on both sides",
                    )
                case protocol.Progress(text=text, done=done):
                    progress(text, done)
                case protocol.Ready() as ready:
                    return ready

    async def _receive(self) -> Message:
        received = await protocol.receive(self._reader)
        if received is None:
            raise EngineGoneError(
                f"the engine process at {self.address} has ended", "look at what it printed, and start it again"
            )
        match received[0]:
            case protocol.Failed(error=error, remedy=remedy):
                raise EngineError(error, remedy)
        return received[0]

    async def _listen(self) -> None:
        try:
            while True:
                self._take(await self._receive())
        except EngineError as error:
            self._lose(error)

    def _take(self, message: Message) -> None:
        match message:
            case protocol.Frames(session=number, slot=slot):
                if (session := self._sessions.get(number)) is not None:
                    session.drawn(slot)
            case protocol.Refused(id=number, error=error, remedy=remedy):
                self._answer(number, EngineError(error, remedy))
            case protocol.Admitted(id=number) | protocol.Health(id=number):
                self._answer(number, message)
            case _:
                raise ProtocolError(f"the engine says {type(message).__name__.lower()} unasked")

    def _answer(self, number: int, answer: Message | EngineError) -> None:
        waiting = self._answers.get(number)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, EngineError):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def _lose(self, error: EngineError) -> None:
        """Nobody will answer any more."""
        if self._lost is not None:
            return
        self._lost = error
        for number in list(self._answers):
            self._answer(number, error)
        for session in list(self._sessions.values()):
            session.lost(error)


class EngineSession:
    """One character on the engine.

    `samples` of speech belong to a chunk, and `look_ahead` more are listened to where they are known.
    """

    def __init__(self, client: EngineClient, admitted: protocol.Admitted, ring: FrameRing) -> None:
        self.number = admitted.session
        self.samples, self.look_ahead = admitted.samples, admitted.look_ahead
        self._client, self._ring = client, ring
        self._next_slot = 0
        self._waiting: deque[tuple[int, asyncio.Future[RGB]]] = deque()
        self._ended: EngineError | None = None

    def request(self, pcm: PCM | None, expected: PCM | None = None) -> asyncio.Future[RGB]:
        """Ask for the next chunk.

        Args:
            pcm: (samples,) of speech; None is silence, and nothing is expected.
            expected: what follows it, as far as it is known; of use are `look_ahead` samples.

        Returns:
            A future of the frames, (frames, height, width, 3) in memory that the next but one request may overwrite:
            copy them before. It raises EngineError when the engine has gone.

        Raises:
            EngineError: the engine has gone, or the session was released.
            RuntimeError: two chunks are on their way.
        """
        if self._ended is not None:
            raise self._ended
        if len(self._waiting) >= SLOTS - 1:
            raise RuntimeError("two chunks are on their way already")
        heard = [] if pcm is None else [pcm] if expected is None else [pcm, expected[: self.look_ahead]]
        payload = b"".join(part.astype("<i2").tobytes() for part in heard)
        self._client.send(protocol.Step(session=self.number, slot=self._next_slot), payload)
        frames: asyncio.Future[RGB] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._next_slot, frames))
        self._next_slot = (self._next_slot + 1) % SLOTS
        return frames

    def interrupt(self) -> None:
        """Let what was asked for and is not drawn yet be silent. Does nothing when the engine has gone."""
        if self._waiting and self._ended is None:
            self._client.send(protocol.Interrupt(session=self.number))

    def release(self) -> None:
        """End it: frames are waited for no more, and must not be read any more. May be called twice."""
        if self._ended is not None:
            return
        with contextlib.suppress(EngineError):  # it has gone, and the session with it
            self._client.send(protocol.Release(session=self.number))
        self.lost(EngineError("the session was released"))

    def drawn(self, slot: int) -> None:
        """Called by the client: a chunk is there."""
        expected, frames = self._waiting.popleft()
        if slot != expected:
            raise ProtocolError(f"the engine filled slot {slot} before {expected}")
        if not frames.done():
            frames.set_result(self._ring.chunks[slot])

    def lost(self, error: EngineError) -> None:
        """Called by the client: no more chunks come."""
        self._ended = error
        self._client.forget(self.number)
        for _, frames in self._waiting:
            if not frames.done():
                frames.set_exception(error)
                frames.exception()  # nobody need ask
        self._waiting.clear()
        self._ring.close()
