"""Plugins that do what their role asks, each with flaws that can be switched on: `flaw: name`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    OutputTransportReadyFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601
from pydantic import ConfigDict, Field, SecretStr

from animacy.core import CharacterContext, Provider, Settings
from animacy.core.errors import AnimacyError, InputError, KnowledgeError
from animacy.core.knowledge.contract import Passage
from animacy.core.pipeline.frames import CharacterChunkFrame
from animacy.core.tools.contract import Tool
from animacy.core.video.contract import RenderedChunk
from animacy.core.video.speech_queue import SpeechQueue
from animacy.core.vision.contract import Look

KEY = "sample-secret-key"


class Sampled(Settings):
    flaw: str = Field("", description="What it does wrong.")
    api_key: SecretStr = Field(SecretStr(KEY), description="A key.")
    base_url: str = Field("http://service.example", description="Where it is.")

    def refuse(self, trouble: AnimacyError | None = None) -> None:
        """Fail as a service does that is not where it should be, or does not know the key."""
        if self.base_url != "http://service.example":
            raise trouble or AnimacyError("the service cannot be reached", "See base_url.")
        if self.api_key.get_secret_value() != KEY:
            if self.flaw == "leak":
                raise AnimacyError(f"the key {self.api_key.get_secret_value()} is wrong", "Set another.")
            if self.flaw == "no remedy":
                raise AnimacyError("the key is wrong")
            if self.flaw == "raw error":
                raise KeyError("key")
            raise AnimacyError("the key is wrong", "Set another.")


class Careless(Sampled):
    model_config = ConfigDict(extra="ignore", frozen=True)
    api_key: str = KEY


class Service(FrameProcessor):
    """What the three services share."""

    chosen: Sampled

    async def load(self) -> None:
        if self.chosen.flaw != "gives up":
            self.chosen.refuse()
        if self.chosen.flaw == "leaves a task":
            self.left = asyncio.create_task(asyncio.sleep(60), name="left behind")


class STT(Service, SegmentedSTTService):
    def __init__(self, chosen: Sampled, character: CharacterContext) -> None:
        super().__init__(sample_rate=character.input_sample_rate, settings=STTSettings(model="sample", language=None))
        self.chosen = chosen
        self.kept: list[bytes] = []

    @property
    def wants_wav_segments(self) -> bool:
        return False

    async def process_frame(self, frame: Frame, direction: Any) -> None:
        if self.chosen.flaw == "swallows" and type(frame).__name__ == "OthersFrame":
            return
        await super().process_frame(frame, direction)

    async def process_audio_frame(self, frame: Any, direction: Any) -> None:
        if self.chosen.flaw == "keeps":
            self.kept.append(bytes(bytearray(frame.audio)))
        if self.chosen.flaw == "hallucinates" and not any(frame.audio):
            await self.push_frame(self._text("Thanks for watching."))
        await super().process_audio_frame(frame, direction)

    async def run_stt(self, audio: bytes):
        if self.chosen.flaw == "blocks":
            time.sleep(0.8)  # noqa: ASYNC251 - the flaw
        if np.abs(np.frombuffer(audio, "<i2")).max(initial=0) > 400:
            yield self._text("somebody spoke")

    async def push_frame(self, frame: Frame, direction: Any = FrameDirection.DOWNSTREAM) -> None:
        if self.chosen.flaw == "never final" and isinstance(frame, TranscriptionFrame):
            await FrameProcessor.push_frame(self, frame, direction)  # Pipecat's own makes it final
        else:
            await super().push_frame(frame, direction)

    def _text(self, text: str) -> TranscriptionFrame:
        return TranscriptionFrame(text, "user", time_now_iso8601())


class LLM(Service, LLMService):
    text = "It shows ships the way at night, and a keeper lights its lamp every evening for years."

    def __init__(self, chosen: Sampled, character: CharacterContext) -> None:
        unset = ("temperature", "max_tokens", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed")
        more = ("user_turn_completion_config", "system_instruction")
        super().__init__(
            settings=LLMSettings(model="sample", filter_incomplete_user_turns=False, **dict.fromkeys((*unset, *more)))
        )
        self.chosen = chosen
        self.writing: set[asyncio.Task] = set()

    async def process_frame(self, frame: Frame, direction: Any) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        if self.chosen.flaw == "gives up":
            try:
                self.chosen.refuse()
            except AnimacyError as error:
                await self.push_error(str(error), exception=error)
        if self.chosen.flaw == "goes on":
            task = asyncio.create_task(self.write())
            self.writing.add(task)
            return
        await self.write()

    async def write(self) -> None:
        if self.chosen.flaw == "all at once":
            await self._push_llm_text(self.text)
        else:
            for word in self.text.split():
                await self._push_llm_text(f"{word} ")
                await asyncio.sleep(0.15 if self.chosen.flaw == "goes on" else 0.03)
        if self.chosen.flaw != "no end":
            await self.push_frame(LLMFullResponseEndFrame())

    async def cleanup(self) -> None:
        await super().cleanup()
        for task in self.writing:
            task.cancel()
        await asyncio.gather(*self.writing, return_exceptions=True)


class TTS(Service, TTSService):
    def __init__(self, chosen: Sampled, character: CharacterContext) -> None:
        settings = TTSSettings(model="sample", voice="sample", language=None)
        super().__init__(push_start_frame=True, push_stop_frames=True, stop_frame_timeout_s=1.0, settings=settings)
        self.chosen, self.away = chosen, False

    async def stand_by(self) -> None:
        self.away = True

    async def take_over(self) -> None:
        self.away = self.chosen.flaw == "stays away"

    async def push_frame(self, frame: Frame, direction: Any = FrameDirection.DOWNSTREAM) -> None:
        if self.chosen.flaw != "mumbles" or not isinstance(frame, TTSTextFrame):
            await super().push_frame(frame, direction)

    async def run_tts(self, text: str, context_id: str):
        if self.away:
            yield ErrorFrame("nobody is connected")
            return
        rate = 16_000 if self.chosen.flaw == "wrong rate" else self.sample_rate
        moments = np.arange(rate // 5) / rate
        tone = (8000 * np.sin(2 * np.pi * 200 * moments)).astype("<i2").tobytes()
        for _ in text.split():
            yield TTSAudioRawFrame(
                bytes(len(tone)) if self.chosen.flaw == "silent" else tone, rate, 1, context_id=context_id
            )
            await asyncio.sleep(0.02)


class Renderer:
    """A grey picture with the sound that was pushed."""

    def __init__(self, chosen: Sampled, character: CharacterContext) -> None:
        self.chosen, self.closed, self.index = chosen, False, 0
        self.drawn: list[Any] = []
        self.drawing: asyncio.Task | None = None

    async def start(self, portrait: Any, output: Any) -> None:
        self.chosen.refuse()
        self.output = output
        self.queue = SpeechQueue(output.sample_rate, output.samples_per_frame)
        if self.chosen.flaw == "draws ahead":
            self.drawing = asyncio.create_task(self.draw())

    async def draw(self) -> None:
        while True:
            self.drawn.append(self.frame())
            await asyncio.sleep(0.005)

    def frame(self) -> Any:
        return np.full((self.output.height, self.output.width, 3), 128, np.uint8)

    def push_audio(self, pcm: bytes, sample_rate: int, turn: int, visemes: Any) -> None:
        if self.chosen.flaw == "loses samples" and len(pcm) > 4000:
            pcm = pcm[:-4]
        if not self.closed:
            self.queue.push(pcm, turn, visemes)

    def end_turn(self, turn: int) -> None:
        self.queue.end(turn)

    def interrupt(self, turn: int) -> None:
        if self.chosen.flaw != "speaks on":
            self.queue.drop(turn)

    def set_state(self, state: Any, emotion: str | None = None) -> None:
        if self.chosen.flaw == "knows no emotion" and emotion not in (None, "joy"):
            raise KeyError(emotion)

    async def __aiter__(self):
        while not self.closed:
            slot = self.queue.take()
            await asyncio.sleep(0)
            cut = self.queue.dropped(slot.turn)
            pcm, turn = (bytes(len(slot.pcm)), None) if cut else (slot.pcm, slot.turn)
            if self.chosen.flaw == "short of sound":
                pcm = pcm[:-2]
            index, self.index = self.index, self.index + 1
            yield RenderedChunk(index, (self.frame(),), pcm, turn, speech=0 if cut else slot.speech)
            if self.chosen.flaw == "ends" and index > 3:
                return

    async def close(self) -> None:
        if self.chosen.flaw == "closes once" and self.closed:
            raise RuntimeError("closed already")
        self.closed = True
        if self.drawing is not None:
            self.drawing.cancel()


class Transport:
    """Nobody is there."""

    greets = True
    playout_delay = 0.0

    def __init__(self, chosen: Sampled, character: CharacterContext) -> None:
        self.chosen, self.character = chosen, character

    def input(self) -> FrameProcessor:
        return Microphone(self)

    def output(self) -> FrameProcessor:
        return Sink()

    async def open(self, video: Any) -> None:
        self.chosen.refuse(InputError("the service cannot be reached", "See base_url."))

    async def wait_done(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        if self.chosen.flaw == "hangs":
            await asyncio.Event().wait()


class Sink(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: Any) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)


class Microphone(FrameProcessor):
    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self.transport = transport

    async def process_frame(self, frame: Frame, direction: Any) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, CharacterChunkFrame):
            rate = 48_000 if self.transport.chosen.flaw == "other rate" else self.transport.character.input_sample_rate
            await self.push_frame(InputAudioRawFrame(bytes(640), rate, 1))


class Tools:
    """One tool."""

    def __init__(self, chosen: Sampled, character: CharacterContext) -> None:
        self.chosen = chosen

    async def load(self) -> list[Tool]:
        self.chosen.refuse()
        flaw = self.chosen.flaw
        arguments: dict[str, Any] = {"much": {"type": "int" if flaw == "wrong schema" else "integer"}}
        schema = {"type": "object", "properties": arguments}
        example = {"much": "plenty" if flaw == "wrong example" else 3}
        return [Tool("wait", "Waits a little.", schema, self.wait, examples=[("Wait.", example)])]

    async def wait(self, call: Any) -> Any:
        if self.chosen.flaw == "fails":
            raise ValueError("no")
        for _ in range(100 if self.chosen.flaw == "goes on" else 1):
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                if self.chosen.flaw != "goes on":
                    raise
        return {"waited": call.arguments["much"]}

    async def close(self) -> None:
        pass


class Blocking:
    """What vision, embedding and knowledge share."""

    def __init__(self, chosen: Sampled, character: CharacterContext) -> None:
        self.chosen = chosen

    def load(self) -> None:
        self.chosen.refuse()
        if self.chosen.flaw == "leaves a thread":
            threading.Thread(target=time.sleep, args=(20,), name="left behind", daemon=True).start()

    def close(self) -> None:
        pass


class Eyes(Blocking):
    def look(self, picture: Any, source: Any) -> Look:
        if self.chosen.flaw == "quits":
            raise SystemExit(3)
        if self.chosen.flaw == "divides by nothing" and not picture.std():
            raise ZeroDivisionError
        if self.chosen.flaw == "paints":
            picture.setflags(write=True)
            picture[:4] = 0
        return Look(source, "" if self.chosen.flaw == "mute" else "A picture.")


class Embedder(Blocking):
    identity = "sample"

    def embed(self, texts: Any) -> Any:
        self.chosen.refuse()
        size = 8 + (self.chosen.flaw == "other dimensions" and len(texts) == 1)
        rows = []
        for text in texts:
            noise = np.random.default_rng(None if self.chosen.flaw == "forgets" else len(text))
            row = noise.normal(size=size)
            rows.append(row if self.chosen.flaw == "any length" else row / np.linalg.norm(row))
        return np.array(rows, np.float32)


DISKS: dict[str, dict[str, Any]] = {}


class Store(Blocking):
    """Keeps everything in a dict that outlives it."""

    def open(self, folder: Any, collection: str, identity: str) -> None:
        self.chosen.refuse()
        if folder.is_file():
            raise KnowledgeError("the folder is a file", "Move it.")
        kept = DISKS.setdefault(collection, {"identity": identity, "passages": [], "digests": {}})
        if kept["identity"] != identity:
            kept.update(identity=identity, passages=[], digests={})
        self.kept = {"passages": [], "digests": {}} if self.chosen.flaw == "forgets" else kept

    def digests(self) -> Any:
        return self.kept["digests"]

    def add(self, passages: Any, vectors: Any) -> None:
        ids = set() if self.chosen.flaw == "doubles" else {passage.id for passage in passages}
        old = [(p, v) for p, v in self.kept["passages"] if p.id not in ids]
        self.kept["passages"] = [*old, *zip(passages, vectors, strict=True)]

    def finish(self, source: str, digest: str, ids: Any) -> None:
        self.kept["passages"] = [(p, v) for p, v in self.kept["passages"] if p.source != source or p.id in ids]
        self.kept["digests"][source] = digest

    def remove(self, source: str) -> None:
        self.kept["digests"].pop(source, None)
        if self.chosen.flaw != "remembers":
            self.kept["passages"] = [(p, v) for p, v in self.kept["passages"] if p.source != source]

    def nearest(self, vector: Any, count: int) -> Any:
        scored = [(p, float(v @ vector)) for p, v in self.kept["passages"]]
        return sorted(scored, key=lambda one: one[1] if self.chosen.flaw == "worst first" else -one[1])[:count]

    def vectors(self, ids: Any) -> Any:
        return {p.id: v for p, v in self.kept["passages"] if p.id in ids}

    def passages(self) -> list[Passage]:
        return [p for p, _ in self.kept["passages"]]


PRODUCTS: dict[str, Callable[..., Any]] = {
    "stt": STT,
    "llm": LLM,
    "tts": TTS,
    "video": Renderer,
    "transport": Transport,
    "tool": Tools,
    "vision": Eyes,
    "embedding": Embedder,
    "knowledge": Store,
}


def create(role: str, chosen: Sampled, character: CharacterContext) -> Any:
    if chosen.flaw == "another thing":
        return object()
    if chosen.flaw == "blocks in create":
        time.sleep(0.8)
    return PRODUCTS[role](chosen, character)


def plugin(role: str, settings: type[Settings] = Sampled) -> Any:
    """A plugin module that offers it."""
    provider = Provider("sample", settings, lambda s, c: create(role, s, c), summary="A sample")
    return SimpleNamespace(**{f"{role}_providers": lambda: provider})
