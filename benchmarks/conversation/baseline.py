"""Stock Pipecat, wired as its documentation shows, with the same models and voice, without video.

    python -m benchmarks.conversation.baseline QUESTION.flac ... --out rows.json

Its own Whisper service, its OpenAI service on a local OpenAI-compatible server (llama.cpp's), its Kokoro service, its
defaults for everything else. A process of its own, so that nothing of Animacy runs beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    InputAudioRawFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.services.kokoro.tts import KokoroTTSService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transcriptions.language import Language
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from animacy.core.film import read_audio
from animacy.core.models import packaged
from animacy.core.plugins import Plugins
from animacy.core.recipe import Recipe
from animacy.core.recipe_loader import load_recipe
from animacy.plugins.kokoro.voices import find_voice
from animacy.plugins.web.headless import voiced_end
from animacy.plugins.web.playout import VOICED
from benchmarks.conversation.rows import BASELINE, Row, write_rows
from benchmarks.serving import IRIS, WARM_UP

RATE_IN, RATE_OUT = 16_000, 24_000
CHUNK = 320
PATIENCE_SECONDS = 40.0
SILENCE_SECONDS = 2.0
CONTEXT_TOKENS = 2048
THREADS = 2


@dataclass(slots=True)
class Marks:
    """When things happened (time.monotonic) since the question began."""

    at: dict[str, float] = field(default_factory=dict)
    last_sound: float = 0.0
    transcript: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)

    def first(self, name: str) -> None:
        self.at.setdefault(name, time.monotonic())


class Microphone(BaseInputTransport):
    """Pushes silence, and recordings when there are any, in real time: a chunk when its last sample was spoken."""

    def __init__(self, params: TransportParams) -> None:
        super().__init__(params)
        self.recordings: asyncio.Queue[tuple[NDArray[np.int16], asyncio.Future[float]]] = asyncio.Queue(8)
        self._talking: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._talking = self.create_task(self._talk(), "microphone")

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._talking is not None:
            task, self._talking = self._talking, None
            await self.cancel_task(task)

    async def _talk(self) -> None:
        due = time.monotonic()
        while True:
            samples, began = np.zeros(CHUNK, np.int16), None
            if not self.recordings.empty():
                samples, began = self.recordings.get_nowait()
                began.set_result(due)
            for begin in range(0, len(samples), CHUNK):
                piece = samples[begin : begin + CHUNK]
                due += CHUNK / RATE_IN
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                audio = np.pad(piece, (0, CHUNK - len(piece))).tobytes()
                await self.push_audio_frame(InputAudioRawFrame(audio=audio, sample_rate=RATE_IN, num_channels=1))


class Loudspeaker(BaseOutputTransport):
    """Takes as long as the sound lasts, and notes when a voice is first in it."""

    def __init__(self, params: TransportParams) -> None:
        super().__init__(params)
        self.marks = Marks()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        samples = np.frombuffer(frame.audio, np.int16)
        if len(samples) and np.abs(samples.astype(np.int32)).max() >= VOICED:
            self.marks.first("response")
            self.marks.last_sound = time.monotonic()
        await asyncio.sleep(len(samples) / frame.sample_rate)
        return True


class Watch(BaseObserver):
    """Notes the stages."""

    def __init__(self, speaker: Loudspeaker) -> None:
        super().__init__(observe_every_push=False)
        self._speaker = speaker

    async def on_push_frame(self, data: FramePushed) -> None:
        marks, frame = self._speaker.marks, data.frame
        if isinstance(frame, TranscriptionFrame):
            # The last one before the answer: a sentence may come in pieces.
            marks.at["transcript"] = time.monotonic()
            marks.transcript.append(frame.text.strip())
        elif isinstance(frame, UserStoppedSpeakingFrame):
            marks.at["turn"] = time.monotonic()
        elif isinstance(frame, LLMTextFrame):
            marks.first("token")
            marks.answer.append(frame.text)
        elif isinstance(frame, TTSAudioRawFrame):
            marks.first("voice")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path, nargs="+")
    parser.add_argument("--recipe", type=Path, default=IRIS)
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    recipe = load_recipe(options.recipe, Plugins().load()).recipe
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(ask_all(options.questions, recipe, options.repeat, Path(folder)))
    write_rows(rows, options.out)


async def ask_all(questions: list[Path], recipe: Recipe, repeat: int, folder: Path) -> list[Row]:
    server = language_server()
    address = server.listening_address
    params = TransportParams(
        audio_in_enabled=True, audio_out_enabled=True, audio_in_sample_rate=RATE_IN, audio_out_sample_rate=RATE_OUT
    )
    microphone, speaker = Microphone(params), Loudspeaker(params)
    whisper = str(packaged("whisper-base").ensure())
    stt = WhisperSTTService(device="cpu", compute_type="int8", settings=WhisperSTTService.Settings(model=whisper))
    llm = OpenAILLMService(
        api_key="none",
        base_url=f"{address() if callable(address) else address}/v1",
        settings=OpenAILLMService.Settings(
            model="local",
            system_instruction=recipe.character.persona,
            temperature=0.4,
            top_p=0.9,
            max_tokens=recipe.limits.max_answer_tokens,
        ),
    )
    aggregators = LLMContextAggregatorPair(
        LLMContext(), user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    pipeline = Pipeline(
        [microphone, stt, aggregators.user(), llm, voice_service(recipe, folder), speaker, aggregators.assistant()]
    )
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=RATE_IN, audio_out_sample_rate=RATE_OUT),
        observers=[Watch(speaker)],
        idle_timeout_secs=None,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await asyncio.sleep(3.0)
    try:
        # Not counted: what a first answer costs once is not what a conversation is like.
        await ask(WARM_UP, repeat, microphone, speaker)
        return [await ask(path, repeat, microphone, speaker) for path in questions]
    finally:
        await worker.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def ask(path: Path, repeat: int, microphone: Microphone, speaker: Loudspeaker) -> Row:
    samples = read_audio(path, RATE_IN)
    marks = speaker.marks = Marks()
    began: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    microphone.recordings.put_nowait((samples, began))
    end = await began + voiced_end(samples)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        if "response" in marks.at and time.monotonic() - marks.last_sound > SILENCE_SECONDS:
            break
    moments = {name: round(at - end, 3) for name, at in marks.at.items()}
    text = "".join(marks.answer).strip() or "(no answer)"
    transcript = " ".join(marks.transcript)
    return Row(BASELINE, repeat, path.stem, "", moments, moments.get("response"), None, None, transcript, text)


def language_server() -> Any:
    """The same language model behind llama.cpp's own HTTP server, on a free local port."""
    import xllamacpp

    from animacy.plugins.llama.runtime import gguf_file

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf_file(packaged("qwen2.5-coder-1.5b").ensure()))
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.verbosity = -1
    return xllamacpp.Server(params)


def voice_service(recipe: Recipe, folder: Path) -> KokoroTTSService:
    """The same voice in the file format of kokoro-onnx."""
    voice = find_voice(recipe.character.voice, recipe.character.language)
    voices = folder / "voices.npz"
    np.savez(voices, **{voice.name: voice.styles()[:, None, :]})
    model = packaged("kokoro-82m-int8").ensure()
    file = model if model.is_file() else next(model.rglob("*.onnx"))
    language = Language.EN_GB if voice.british else Language.EN_US
    return KokoroTTSService(
        model_path=str(file),
        voices_path=str(voices),
        settings=KokoroTTSService.Settings(voice=voice.name, language=language),
    )


if __name__ == "__main__":
    main()
