"""A text as speech through a Pipecat voice, outside of any conversation."""

from __future__ import annotations

import asyncio
import contextlib

from pipecat.frames.frames import EndFrame, ErrorFrame, Frame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from animacy.core.errors import AnimacyError


class _Collector(FrameProcessor):
    """Keeps the speech that goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.speech: list[TTSAudioRawFrame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.speech.append(frame)
        else:
            await self.push_frame(frame, direction)


async def speak(tts: FrameProcessor, text: str, sample_rate: int) -> list[TTSAudioRawFrame]:
    """All audio frames of a text, in order. Raises AnimacyError when the voice fails or says nothing."""
    collector = _Collector()
    worker = PipelineWorker(
        Pipeline([tts, collector]),
        params=PipelineParams(audio_out_sample_rate=sample_rate),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )
    errors: list[ErrorFrame] = []

    async def on_pipeline_error(_: PipelineWorker, frame: ErrorFrame) -> None:
        errors.append(frame)

    worker.add_event_handler("on_pipeline_error", on_pipeline_error)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await worker.queue_frames([TTSSpeakFrame(text), EndFrame()])
    try:
        await runner.run()
    except asyncio.CancelledError:
        await worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await runner.cancel()
        raise
    if errors:
        cause = errors[0].exception
        raise cause if isinstance(cause, AnimacyError) else AnimacyError(f"the voice failed: {errors[0].error}")
    if not collector.speech:
        raise AnimacyError("the voice said nothing", "Give a text with words in the recipe's language.")
    return collector.speech
