"""Sends answers to Cartesia and hears them spoken, over connections that may break."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from loguru import logger
from websockets.exceptions import ConnectionClosed

from animacy.core.pipeline.connected import stay_connected
from animacy.core.pipeline.remote import RemoteError
from animacy.core.pipeline.voice import Speech
from animacy.plugins.cartesia.context import Context
from animacy.plugins.cartesia.server import Connection, Server

Message = dict[str, Any]


class Listener(Protocol):
    """Who hears what comes back."""

    async def speech(self, context: str, speech: Speech) -> None:
        """A piece of sound."""
        ...

    async def words(self, context: str, words: list[tuple[str, float]]) -> None:
        """Words and their seconds in the answer's sound."""
        ...

    async def done(self, context: str) -> None:
        """Nothing more comes of this answer."""
        ...

    async def told(self, message: str, trouble: RemoteError) -> None:
        """Something failed that is tried again, or left out."""
        ...


class Link:
    """Answers out, speech back.

    When a connection breaks, or the server has too much to do, the words that were not spoken are sent again.

    Parameters:
        server: where to.
        listener: hears what comes back.
        sample_rate: of the sound.
        visemes: whether phonemes are asked for.
        attempts: how many connections may fail in a row, and how often an answer is tried.
    """

    def __init__(self, server: Server, listener: Listener, *, sample_rate: int, visemes: bool, attempts: int) -> None:
        self._server, self._listener = server, listener
        self._rate, self._visemes, self._attempts = sample_rate, visemes, attempts
        self._contexts: dict[str, Context] = {}
        self._cancelled: list[str] = []
        self._more = asyncio.Event()
        self._paused_until = 0.0
        self._spoke = False  # the settings are good

    def say(self, context: str, text: str) -> None:
        """Add a text to an answer. Never waits."""
        self._contexts.setdefault(context, Context(context, self._rate, self._visemes)).waiting.append(text)
        self._more.set()

    def finish(self, context: str) -> None:
        """Nothing will be added to an answer."""
        if context in self._contexts:
            self._contexts[context].finished = True
            self._more.set()

    def cancel(self, context: str) -> None:
        """Stop an answer. Nothing more is heard of it."""
        found = self._contexts.pop(context, None)
        if found is not None:
            self._cancelled.append(found.name)
            self._more.set()

    async def run(self) -> None:
        """Keep connected until cancelled. Raises RemoteError when it is of no use to try again."""
        await stay_connected(
            self._server,
            self._server.connect,
            self._converse,
            self._listener.told,
            attempts=self._attempts,
            idle=lambda: not self._contexts,  # the server closes it after five minutes then
        )

    async def _converse(self, connection: Connection) -> None:
        """Send and hear until the connection ends."""
        self._cancelled.clear()
        for context in self._contexts.values():
            for speech in context.mouth.rest():
                await self._listener.speech(context.id, speech)
            context.restart(broken=True)
        sending = asyncio.create_task(self._send_all(connection), name="cartesia sender")
        try:
            while True:
                await self._take(await connection.recv_bytes())
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self, connection: Connection) -> None:
        try:
            while True:
                await asyncio.sleep(max(0.0, self._paused_until - time.monotonic()))
                self._more.clear()
                for message in self._messages():
                    await connection.send(message)
                await self._more.wait()
        except ConnectionClosed:
            pass  # whoever listens is told as well

    def _messages(self) -> list[Any]:
        """What there is to send, which is then taken for sent."""
        messages: list[Any] = [{"context_id": name, "cancel": True} for name in self._cancelled]
        self._cancelled.clear()
        for context in self._contexts.values():
            while context.waiting:
                text = context.next_text()
                messages.append(self._server.request(context.name, text, self._rate, goes_on=True))
            if context.finished and not context.told_finished:
                context.told_finished = True
                messages.append(self._server.request(context.name, "", self._rate, goes_on=False))
        return messages

    async def _take(self, raw: bytes | str) -> None:
        try:
            message = json.loads(raw)
            name = message.get("context_id")
            context = next((context for context in self._contexts.values() if context.name == name), None)
            if message["type"] == "error":
                await self._fail(context if name else None, message)
            elif context is not None:
                await _TAKERS.get(message["type"], Link._ignore)(self, context, message)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            logger.warning(f"Cartesia sent a message that cannot be read ({type(error).__name__}); it is left out")

    async def _take_sound(self, context: Context, message: Message) -> None:
        pcm = base64.b64decode(message["data"], validate=True)
        self._spoke = True
        context.hear(pcm)
        for speech in context.mouth.sound(pcm):
            await self._listener.speech(context.id, speech)

    async def _take_words(self, context: Context, message: Message) -> None:
        timed = message["word_timestamps"]
        words, starts = [str(word) for word in timed["words"]], [float(start) for start in timed["start"]]
        await self._listener.words(context.id, context.time_words(words, starts))

    async def _take_phonemes(self, context: Context, message: Message) -> None:
        timed = message["phoneme_timestamps"]
        phonemes = [
            (str(symbol), float(start), float(end))
            for symbol, start, end in zip(timed["phonemes"], timed["start"], timed["end"], strict=True)
        ]
        for speech in context.mouth.phonemes(phonemes):
            await self._listener.speech(context.id, speech)

    async def _take_end(self, context: Context, _: Message) -> None:
        for speech in context.mouth.rest():
            await self._listener.speech(context.id, speech)
        if context.complete and context.told_finished:
            await self._drop(context)
        else:  # it expires when the next text is long in coming, which then needs a new one
            context.restart(broken=False)
            self._more.set()

    async def _ignore(self, context: Context, message: Message) -> None:
        """What needs no answer."""

    async def _fail(self, context: Context | None, message: Message) -> None:
        """An answer failed. It is tried again if that may help, and left out if it does not."""
        status = message.get("status_code")
        trouble = self._server.refusal(status if isinstance(status, int) else 500, message)
        if trouble.lasts and not (self._spoke and status in (400, 422)):
            raise trouble
        if context is None:
            if not message.get("context_id"):
                await self._listener.told(trouble.args[0], trouble)
            return
        context.failures += 1
        if trouble.lasts or context.failures >= self._attempts:
            await self._listener.told(f"{trouble.args[0]}; the rest of this answer is not spoken", trouble)
            await self._drop(context)
            return
        for speech in context.mouth.rest():
            await self._listener.speech(context.id, speech)
        seconds = 0.25 * 2.0**context.failures
        context.restart(broken=True)
        self._paused_until = time.monotonic() + seconds
        await self._listener.told(f"{trouble.args[0]}; trying again in {seconds:.3g} s", trouble)
        self._more.set()

    async def _drop(self, context: Context) -> None:
        if self._contexts.pop(context.id, None) is not None:
            await self._listener.done(context.id)


_TAKERS: dict[str, Callable[[Link, Context, Message], Awaitable[None]]] = {
    "chunk": Link._take_sound,
    "timestamps": Link._take_words,
    "phoneme_timestamps": Link._take_phonemes,
    "done": Link._take_end,
}
