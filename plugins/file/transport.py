"""FileTransport: streams a recording in real time as a microphone and writes what the character does as a film."""

from __future__ import annotations

import asyncio
import time

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    OutputTransportReadyFrame,
    StartFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from animacy.core.errors import InputError
from animacy.core.film import FilmMeasure, FilmWriter, SoundMark, measure_film, read_audio
from animacy.core.pipeline.frames import CharacterChunkFrame
from animacy.core.provider import CharacterContext
from animacy.core.threads import Priority, worker
from animacy.core.video.contract import RenderedChunk, VideoFormat
from animacy.plugins.file import FileSettings

CHUNK_SECONDS = 0.032
"""What Silero looks at in one go at 16 kHz: no sample waits for others."""
VOICED_LEVEL = 0.02
SPEECH_GAP_SECONDS = 0.4
QUEUED_CHUNKS = 144
"""Six seconds of pictures, 400 MB at the most: writing waits while the cores answer."""
MARK_SECONDS = 3.0
UNHEARD_SECONDS = 6.0


class FileTransport:
    """Satisfies animacy.core.pipeline.transport.Transport.

    The session is over `tail` seconds after the character has answered everything in the recording.
    """

    def __init__(self, settings: FileSettings, context: CharacterContext) -> None:
        if settings.input is None or settings.output is None:
            raise InputError(
                "the file transport needs a recording and a film", "Give --input question.wav --output answer.mp4."
            )
        self.greets = settings.greet
        self.playout_delay = 0.0
        self.outcome = "done"
        self._settings, self._context = settings, context
        self._end = _Ending(settings)
        self._input = _Microphone(settings, context.input_sample_rate, self._end)
        self._output: _Film | None = None
        self._video: VideoFormat | None = None

    def input(self) -> FrameProcessor:
        """The recording."""
        return self._input

    def output(self) -> FrameProcessor:
        """The film."""
        assert self._output is not None, "open() comes first"
        return self._output

    async def open(self, video: VideoFormat) -> None:
        """Read the recording and open the film. Raises InputError."""
        assert self._settings.input is not None
        assert self._settings.output is not None
        samples = await asyncio.to_thread(read_audio, self._settings.input, self._context.input_sample_rate)
        self._input.samples = samples
        track = None
        if self._settings.user_track:
            track = await asyncio.to_thread(read_audio, self._settings.input, video.sample_rate)
        writer = FilmWriter(self._settings.output, video, second_track=track is not None)
        self._video = video
        self._output = _Film(writer, video, track, self._input, self._end)

    async def wait_done(self) -> None:
        """Return when everything in the recording was answered, or nothing will be."""
        self.outcome = await self._end.wait()

    async def close(self) -> None:
        """Complete the film (or remove it if no frame was written)."""
        await self._input.stop()
        if self._output is not None:
            await self._output.finish()

    def speech_end(self, before: float) -> float | None:
        """When the user's last speech before a moment really ended, measured on the recording (time.monotonic)."""
        return self._input.speech_end(before)

    def measure(self) -> FilmMeasure | None:
        """The film as written, read back. None if there is none."""
        return self._output.measure() if self._output is not None else None


class _Ending:
    """Knows when the exchange is over, from what both ends see."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self.recording_done = asyncio.Event()
        self.changed = asyncio.Event()
        self.user_speaking = False
        self.bot_speaking = False
        self.questions = 0
        self.answer_pending = False

    def notice(self, frame: Frame) -> None:
        """Follow who speaks."""
        if isinstance(frame, UserStartedSpeakingFrame):
            self.user_speaking = True
        elif isinstance(frame, UserStoppedSpeakingFrame) and self.user_speaking:
            self.user_speaking, self.answer_pending = False, True
            self.questions += 1
        elif isinstance(frame, BotStartedSpeakingFrame):
            self.bot_speaking = True
        elif isinstance(frame, BotStoppedSpeakingFrame) and self.bot_speaking:
            self.bot_speaking, self.answer_pending = False, False
        else:
            return
        self.changed.set()

    async def wait(self) -> str:
        await self.recording_done.wait()
        deadline = time.monotonic() + self._settings.patience
        unheard = time.monotonic() + UNHEARD_SECONDS
        while True:
            busy = self.user_speaking or self.bot_speaking or self.answer_pending
            now = time.monotonic()
            if self.bot_speaking:
                deadline = now + self._settings.patience
            if not busy and self.questions:
                if not await self._change_within(self._settings.tail):
                    return "done"
            elif not self.questions and not busy and now >= unheard:
                return "no speech"
            elif now >= deadline:
                return "no answer"
            else:
                await self._change_within(0.1)

    async def _change_within(self, seconds: float) -> bool:
        self.changed.clear()
        try:
            await asyncio.wait_for(self.changed.wait(), seconds)
        except TimeoutError:
            return False
        return True


class _Microphone(FrameProcessor):
    """Pushes the recording in real time, then silence."""

    def __init__(self, settings: FileSettings, sample_rate: int, end: _Ending) -> None:
        super().__init__()
        self.samples: NDArray[np.int16] = np.zeros(0, np.int16)
        self.began: float | None = None
        self._settings, self._rate, self._end = settings, sample_rate, end
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._greeted = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Start to stream once the other end can be seen."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        self._end.notice(frame)
        if isinstance(frame, StartFrame):
            self._task = self.create_task(self._stream(), "recording")
        elif isinstance(frame, OutputTransportReadyFrame):
            self._ready.set()
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._greeted.set()
        elif isinstance(frame, EndFrame | CancelFrame):
            await self.stop()

    async def cleanup(self) -> None:
        """Stop streaming."""
        await super().cleanup()  # type: ignore[no-untyped-call]  # Pipecat leaves it untyped
        await self.stop()

    async def stop(self) -> None:
        """Stop streaming. May be called twice."""
        if self._task is not None:
            task, self._task = self._task, None
            await self.cancel_task(task)

    def speech_end(self, before: float) -> float | None:
        """End of the last voiced stretch that ended before a moment."""
        if self.began is None:
            return None
        ends = [self.began + end for end in _voiced_ends(self.samples, self._rate)]
        return max((end for end in ends if end <= before), default=None)

    async def _stream(self) -> None:
        await self._ready.wait()
        size = int(self._rate * CHUNK_SECONDS)
        silence = bytes(2 * size)
        if self._settings.greet:
            await self._greeted.wait()
        start = time.monotonic()
        self.began = start + self._settings.lead_in
        whole = np.concatenate([np.zeros(int(self._settings.lead_in * self._rate), np.int16), self.samples]).tobytes()
        position = 0
        while True:
            piece = whole[position * 2 * size : (position + 1) * 2 * size]
            if not piece:
                self._end.recording_done.set()
            audio = piece + silence[len(piece) :]
            await self.push_frame(InputAudioRawFrame(audio=audio, sample_rate=self._rate, num_channels=1))
            position += 1
            await asyncio.sleep(max(0.0, start + position * CHUNK_SECONDS - time.monotonic()))


class _Film(FrameProcessor):
    """Writes the chunks, each with its audio, off the event loop and in order."""

    def __init__(
        self,
        writer: FilmWriter,
        video: VideoFormat,
        user_track: NDArray[np.int16] | None,
        microphone: _Microphone,
        end: _Ending,
    ) -> None:
        super().__init__()
        self._writer, self._video, self._user, self._microphone, self._end = writer, video, user_track, microphone, end
        self._queue: asyncio.Queue[RenderedChunk | None] = asyncio.Queue(QUEUED_CHUNKS)
        self._pen = worker("film", Priority.BACKGROUND)
        self._task: asyncio.Task[None] | None = None
        self._began: float | None = None
        self._mark: list[NDArray[np.int16]] = []
        self._mark_start: float | None = None
        self._finished = False
        self._index = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take chunks; everything else passes."""
        await super().process_frame(frame, direction)
        self._end.notice(frame)
        if isinstance(frame, CharacterChunkFrame):
            if frame.chunk is not None and not self._finished:
                self._began = self._began if self._began is not None else time.monotonic()
                await self._queue.put(frame.chunk)
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._task = asyncio.create_task(self._write(), name="film")
            await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    async def finish(self) -> None:
        """Write what is queued and complete the film; without a single frame, remove it."""
        if self._finished:
            return
        self._finished = True
        loop = asyncio.get_running_loop()
        try:
            if self._task is not None:
                await self._queue.put(None)
                await self._task
        finally:
            if self._writer.frames:
                await loop.run_in_executor(self._pen, self._writer.finish)
            else:
                self._writer.discard()
            self._pen.shutdown(wait=False)

    def measure(self) -> FilmMeasure | None:
        if not self._writer.frames:
            return None
        mark = None
        if self._mark and self._mark_start is not None:
            mark = SoundMark(self._mark_start, np.concatenate(self._mark))
        return measure_film(self._writer.path, mark)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while (chunk := await self._queue.get()) is not None:
            self._remember(chunk)
            second = self._user_samples(chunk)
            await loop.run_in_executor(self._pen, self._writer.write, chunk.frames, chunk.pcm, second)
            self._index += len(chunk.frames)

    def _user_samples(self, chunk: RenderedChunk) -> bytes | None:
        """What the microphone heard in this chunk's slot."""
        if self._user is None or self._began is None:
            return None
        count = len(chunk.frames) * self._video.samples_per_frame
        if self._microphone.began is None:
            return bytes(2 * count)
        offset = self._index * self._video.samples_per_frame
        start = offset - round((self._microphone.began - self._began) * self._video.sample_rate)
        piece = np.zeros(count, np.int16)
        low, high = max(start, 0), min(start + count, len(self._user))
        if low < high:
            piece[low - start : high - start] = self._user[low:high]
        return piece.tobytes()

    def _remember(self, chunk: RenderedChunk) -> None:
        """Keep the first seconds of the voice, to find them again in the film."""
        wanted = MARK_SECONDS * self._video.sample_rate
        if sum(map(len, self._mark)) >= wanted or (chunk.turn is None and not self._mark):
            return
        if self._mark_start is None:
            self._mark_start = self._index / self._video.fps
        self._mark.append(np.frombuffer(chunk.pcm, np.int16))


def _voiced_ends(samples: NDArray[np.int16], rate: int) -> list[float]:
    """Seconds at which each voiced stretch of a recording ends."""
    voiced = np.flatnonzero(np.abs(samples.astype(np.int32)) > VOICED_LEVEL * 32767)
    if not len(voiced):
        return []
    breaks = np.flatnonzero(np.diff(voiced) > SPEECH_GAP_SECONDS * rate)
    return [float(sample) / rate for sample in [*voiced[breaks], voiced[-1]]]
