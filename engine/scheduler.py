"""When an iteration happens, and with whom: characters come, speak, fall silent and go, and are stepped together.

Each character asks for its chunks one after the other, in real time. An iteration begins when all of them have asked,
so that a batch is full, and characters come and go between two iterations. One that lets the others wait for too long
is waited for no more until it asks again: meanwhile it listens, unseen.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Set
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from animacy.engine.audio import SpeechWindows
from animacy.engine.errors import EngineError

if TYPE_CHECKING:
    from animacy.engine.config import Preset
    from animacy.engine.sessions import Pending, Sessions

PATIENCE = 1.0
"""Iterations' worth of video time that one character may let the others wait."""
_AT_WORK = 2
"""Iterations at work at a time: the older one is decoded while the younger one is denoised."""
_REMEMBERED = 512


@dataclass(slots=True, eq=False)
class _Request:
    """One chunk that was asked for; `write` takes its frames, (frames, height, width, 3)."""

    audio: NDArray[np.float32] | None
    write: Callable[[NDArray[np.uint8]], None]
    asked: float = field(default_factory=time.monotonic)
    done: Future[None] = field(default_factory=Future)


@dataclass(slots=True, eq=False)
class Character:
    """One character on the engine, as the scheduler knows it."""

    session: int
    windows: SpeechWindows | None
    waiting: deque[_Request] = field(default_factory=deque)
    drawing: deque[_Request] = field(default_factory=deque)
    served: float = field(default_factory=time.monotonic)  # when it was admitted, or got its last frames
    asleep: bool = False


class Scheduler:
    """Runs the engine in a thread of its own, and brings frames out in another. Its methods may be called from any.

    Args:
        preset: that of the engine.
        load: makes the engine, in the engine's thread.
        patience: see `PATIENCE`.
    """

    def __init__(
        self,
        preset: Preset,
        load: Callable[[], Sessions],
        patience: float = PATIENCE,
    ) -> None:
        self.preset = preset
        self.ready: Future[Sessions] = Future()
        self.ended: Future[None] = Future()
        """Done when the engine has stopped; holds the error if it was one."""
        self._load = load
        self._patience = patience * preset.stream.chunk * preset.vae.temporal_factor / preset.stream.fps
        self._changed = threading.Condition()
        self._characters: dict[int, Character] = {}
        self._jobs: deque[Callable[[], None]] = deque()
        self._closing = False
        self._out: queue.SimpleQueue[tuple[Pending, dict[Character, _Request], float] | None] = queue.SimpleQueue()
        self._at_work = threading.Semaphore(_AT_WORK)
        self._milliseconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._threads = [
            threading.Thread(target=self._guard, args=(target,), name=name, daemon=True)
            for target, name in ((self._run, "engine"), (self._bring_out, "engine output"))
        ]

    def start(self) -> None:
        """Begin to load."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop after the iteration under way; what was asked for and is not drawn fails. Waits for the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def admit(self, image: NDArray[np.uint8], windows: SpeechWindows | None, seed: int) -> Future[Character]:
        """Take a character in before the next iteration.

        Args:
            image: (height, width, 3), RGB, of the engine's size.
            windows: makes the features of its speech; None for presets that do not listen.
            seed: of its noise.

        The future raises EngineError when the engine is full.
        """
        admitted: Future[Character] = Future()

        def job() -> None:
            try:
                session, _ = self._sessions.admit(torch.from_numpy(image), seed=seed)
            except EngineError as error:
                admitted.set_exception(error)
                return
            character = Character(session, windows)
            with self._changed:
                self._characters[session] = character
            admitted.set_result(character)

        self._do(job)
        return admitted

    def release(self, character: Character) -> None:
        """Let a character go before the next iteration; its frames are not delivered any more."""
        with self._changed:
            if self._characters.pop(character.session, None) is None:
                return
            self._give_up(character)

        def job() -> None:
            with self._changed:  # nobody may be interrupted while places change
                self._sessions.release(character.session)

        self._do(job)

    def request(
        self,
        character: Character,
        pcm: NDArray[np.int16],
        expected: NDArray[np.int16],
        write: Callable[[NDArray[np.uint8]], None],
    ) -> Future[None]:
        """Ask for the next chunk.

        Args:
            character: who speaks.
            pcm: speech of exactly this chunk; zeros are silence.
            expected: what is going to be said next, as far as it is known.
            write: called in another thread with the frames, (frames, height, width, 3), valid during the call.

        The future is done when `write` has returned, and fails when the character is released.
        """
        audio = _features(character.windows, pcm, expected, self.preset.stream.chunk)
        request = _Request(audio, write)
        with self._changed:
            if self._characters.get(character.session) is not character or self._closing:
                request.done.set_exception(EngineError("the character is not on the engine any more"))
                return request.done
            character.waiting.append(request)
            character.asleep = False
            self._changed.notify_all()
        return request.done

    def interrupt(self, character: Character) -> None:
        """Let what was asked for be silent, and give up what is being drawn, unless that is too late."""
        with self._changed:
            for request in character.waiting:
                request.audio = None
            if character.windows is not None:
                character.windows.reset()
            if character.drawing and character.drawing[-1].audio is not None:
                self._sessions.interrupt(character.session)

    @property
    def count(self) -> int:
        """Characters on the engine."""
        return len(self._characters)

    def milliseconds(self) -> tuple[float, float]:
        """Median and 99th percentile of the latest iterations, from beginning to frames; 0 before the first."""
        latest = list(self._milliseconds)
        if not latest:
            return 0.0, 0.0
        median, worst = np.percentile(latest, [50, 99])
        return float(median), float(worst)

    @property
    def _sessions(self) -> Sessions:
        return self.ready.result(timeout=0)

    def _do(self, job: Callable[[], None]) -> None:
        """Have something done in the engine's thread, between two iterations."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def _guard(self, target: Callable[[], None]) -> None:
        """An engine that fails in any way has ended: nobody may go on waiting for it."""
        try:
            target()
            self._end(None)
        except BaseException as error:
            self._end(error)

    def _run(self) -> None:
        sessions = self._load()
        try:
            sessions.lost.add_done_callback(lambda lost: self._end(lost.exception()))
            self.ready.set_result(sessions)
            self._draw(sessions)
        finally:
            sessions.close()

    def _draw(self, sessions: Sessions) -> None:
        while (batch := self._next_batch()) is not None:
            self._at_work.acquire()
            began = time.monotonic()
            audio = {c.session: _tensor(request.audio) for c, request in batch.items()}
            pending = sessions.step(audio)
            self._take_back(batch, pending.given_up)
            self._out.put((pending, batch, began))

    def _next_batch(self) -> dict[Character, _Request] | None:
        """Do what there is to do, until an iteration is due; None when the engine is to stop."""
        while True:
            with self._changed:
                while not (self._jobs or self._closing):
                    self._lose_patience()
                    if self._is_due():
                        return self._take_batch()
                    self._changed.wait(self._until_late())
                if self._closing:
                    return None
                jobs, self._jobs = self._jobs, deque()
            for job in jobs:
                job()

    def _is_due(self) -> bool:
        """Whether all who are waited for have asked, and anyone has."""
        characters = self._characters.values()
        return any(c.waiting for c in characters) and all(c.waiting or c.asleep for c in characters)

    def _until_late(self) -> float | None:
        """Seconds until the next of those who let others wait is late; None when there is none."""
        late = [self._late(character) for character in self._awaited()]
        return max(0.0, min(late) - time.monotonic()) if late else None

    def _lose_patience(self) -> None:
        now = time.monotonic()
        for character in self._awaited():
            character.asleep = self._late(character) <= now

    def _awaited(self) -> list[Character]:
        """Those who could ask and have not, while others have."""
        characters = list(self._characters.values())
        if not any(c.waiting for c in characters):
            return []
        return [c for c in characters if not (c.waiting or c.drawing or c.asleep)]

    def _late(self, character: Character) -> float:
        """When patience with a character ends: some time after it got its last frames and others asked."""
        asked = min(c.waiting[0].asked for c in self._characters.values() if c.waiting)
        return max(asked, character.served) + self._patience

    def _take_batch(self) -> dict[Character, _Request]:
        batch = {}
        for character in self._characters.values():
            if character.waiting:
                batch[character] = character.waiting.popleft()
                character.drawing.append(batch[character])
        return batch

    def _take_back(self, batch: dict[Character, _Request], given_up: Set[int]) -> None:
        """What was given up is drawn by the next iteration, in silence, before what was asked for after it."""
        with self._changed:
            for character in [c for c in batch if c.session in given_up]:
                request = batch.pop(character)
                if not request.done.done():
                    character.drawing.remove(request)
                    request.audio = None
                    character.waiting.appendleft(request)

    def _bring_out(self) -> None:
        """Hand frames over in the order in which they were drawn."""
        while (item := self._out.get()) is not None:
            pending, batch, began = item
            frames = pending.wait()
            self._at_work.release()
            self._milliseconds.append(1000 * (time.monotonic() - began))
            for character, request in batch.items():
                if (drawn := frames[character.session]) is not None:
                    self._hand_over(character, request, drawn)

    def _hand_over(self, character: Character, request: _Request, frames: torch.Tensor) -> None:
        with self._changed:
            if request.done.done():  # released meanwhile
                return
            character.drawing.popleft()
            character.served = time.monotonic()
            self._changed.notify_all()
        request.write(frames.numpy())
        request.done.set_result(None)

    def _give_up(self, character: Character) -> None:
        """Fail what a character still waits for."""
        for request in (*character.drawing, *character.waiting):
            request.done.set_exception(EngineError("the character is not on the engine any more"))
        character.drawing.clear()
        character.waiting.clear()

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            self._closing = True
            self._out.put(None)
            self._at_work.release()
            for character in self._characters.values():
                self._give_up(character)
            if not self.ready.done():
                self.ready.set_exception(error or EngineError("the engine was stopped"))
            if not self.ended.done():
                self.ended.set_exception(error) if error is not None else self.ended.set_result(None)
            self._changed.notify_all()


def _features(
    windows: SpeechWindows | None, pcm: NDArray[np.int16], expected: NDArray[np.int16], chunk: int
) -> NDArray[np.float32] | None:
    """(chunk, window, feature_dim); None where there is nothing to hear."""
    if windows is None:
        return None
    windows.push(pcm)
    taken = [windows.take(expected) for _ in range(chunk)]
    features = np.stack([one for one in taken if one is not None])
    return features if features.any() else None


def _tensor(audio: NDArray[np.float32] | None) -> torch.Tensor | None:
    return None if audio is None else torch.from_numpy(audio)
