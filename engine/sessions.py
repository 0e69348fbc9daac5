"""Several characters on one engine, taken forward together, each as if it were alone.

Sessions join and leave between iterations. Those that are live fill the first places without a gap, so that an
iteration of n sessions works on the first n places of static memory, whoever they are. Nothing grows with time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from animacy.engine.cache import Placement, RollingWindow
from animacy.engine.clock import Clock, Mark
from animacy.engine.config import Preset
from animacy.engine.denoiser import Denoiser
from animacy.engine.errors import EngineError
from animacy.engine.followers import Followers
from animacy.engine.frames import Decoding, FrameDecoder
from animacy.engine.models import VideoDiT, VideoVAE

_STATE_VERSION = 5


@dataclass(slots=True)
class _Session:
    """What the host knows of a session; its place in the static memory is its place in the list of sessions."""

    id: int
    window: RollingWindow
    prompted: bool
    interruptions: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Milliseconds since the warm-up at which some work began and ended."""

    start: float
    end: float

    @property
    def duration(self) -> float:
        """In milliseconds."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class _Work:
    """Work between two marks on a stream."""

    begin: Mark
    end: Mark
    stream: torch.cuda.Stream | None
    clock: Clock

    def span(self) -> Span:
        """When it was done; waits for it."""
        self.end.wait()
        return Span(self.clock.at(self.begin, self.stream), self.clock.at(self.end, self.stream))


@dataclass(frozen=True, slots=True)
class Pending:
    """A chunk whose latents are done and whose pictures are being made."""

    ids: list[int]
    given_up: set[int]
    _decoding: Decoding
    _denoise: _Work
    _decode: _Work

    def wait(self) -> dict[int, Tensor | None]:
        """The pictures of each session, (frames, height, width, 3), uint8 RGB on the CPU; None where given up.

        They are overwritten when two more chunks have been asked for: copy what is to last.
        """
        self._decoding.end.wait()
        frames = zip(self.ids, self._decoding.frames, strict=True)
        return {session: None if session in self.given_up else pictures for session, pictures in frames}

    @property
    def denoise(self) -> Span:
        """When the latents were made and committed; waits for it. The pictures may have been begun before its end."""
        return self._denoise.span()

    @property
    def decode(self) -> Span:
        """When the pictures were made, the copy to the host included; waits for it."""
        return self._decode.span()


class Sessions:
    """Generates the videos of up to `capacity` characters, a chunk of latent frames at a time.

    Args:
        preset: shapes and schedule; `dit` and `vae` must be of its configuration.
        dit: the transformer, on the device that generates.
        vae: the autoencoder; on another device it decodes there, beside the transformer.
        height: of the picture in pixels, a multiple of `preset.pixel_step`; None takes the preset's size.
        width: as `height`.
        capacity: how many sessions there is room for.
        followers: those who have the other parts of `dit` and `vae`, started for the same preset, size and capacity;
            closed with this.

    Raises:
        EngineError: the size does not divide, or the models are of another configuration.

    All methods are called from one thread, except `interrupt`.
    """

    def __init__(
        self,
        preset: Preset,
        dit: VideoDiT,
        vae: VideoVAE,
        height: int | None = None,
        width: int | None = None,
        capacity: int = 1,
        followers: Followers | None = None,
    ) -> None:
        if (dit.config, vae.config) != (preset.dit, preset.vae):
            raise EngineError(f"the models were not made for preset {preset.name}", "load both with its configuration")
        self.preset = preset
        self.size = (height or preset.size[0], width or preset.size[1])
        self.capacity = capacity
        self._clock = Clock()
        self._followers = Followers() if followers is None else followers
        with self._followers.dit.together():
            self._denoiser = Denoiser(preset, dit, *self.size, capacity, self._followers.dit)
        with self._followers.vae.together():
            self._decoder = FrameDecoder(preset, vae, *self.size, capacity, self._clock, self._followers.vae)
        self._sessions: list[_Session] = []
        self._ids = itertools.count()
        self._read: Mark | None = None
        self._begin_time()

    @property
    def lost(self) -> Future[None]:
        """Gets the error when a process that the engine needs has ended."""
        return self._followers.lost

    def close(self) -> None:
        """Let go of the graphs and stop the other processes of the engine, if there are any. May be called twice."""
        self._denoiser.close()
        self._decoder.close()
        self._followers.close()

    @property
    def live(self) -> list[int]:
        """The sessions that were admitted and not released."""
        return [session.id for session in self._sessions]

    def warm_up(self, progress: Callable[[str, float], None] = lambda text, done: None) -> None:
        """Capture the graphs of every number of sessions; before the first one is admitted, and only once.

        Args:
            progress: told what is being done, and the share of it all that is done, from 0 to 1.

        Raises:
            EngineError: there are sessions already.
        """
        if self._sessions:
            raise EngineError("the engine is in use", "warm it up before the first session")
        for count in range(1, self.capacity + 1):
            done = (count - 1) / self.capacity
            progress(f"transformer for {count} of {self.capacity} sessions", done)
            self._denoiser.capture(count)
            progress(f"decoder for {count} of {self.capacity} sessions", done + 0.5 / self.capacity)
            self._decoder.capture(count)
        self._begin_time()
        progress("ready", 1.0)

    def admit(self, image: Tensor, prompt_embeds: Tensor | None = None, seed: int = 0) -> tuple[int, Tensor]:
        """Begin a session from a picture.

        Args:
            image: (height, width, 3), uint8 RGB, of the engine's size.
            prompt_embeds: (words, text_dim) of the text encoder, for presets with text; None is no prompt.
            seed: of the noise; two sessions with the same seed and input draw the same frames.

        Returns:
            (number of the session, the picture as the autoencoder gives it back, (height, width, 3), uint8).

        Raises:
            EngineError: there is no room, or the picture or the prompt has the wrong shape.
        """
        place = len(self._sessions)
        if place == self.capacity:
            raise EngineError(f"all {self.capacity} sessions of the engine are taken", "wait for one to end")
        self._check_picture(image)
        prompt = None if prompt_embeds is None else prompt_embeds.unsqueeze(0)
        stream = self.preset.stream
        window = RollingWindow(stream.sink, stream.window, self.preset.dit.max_position, stream.memory)
        placement = window.place(1)
        # The picture goes in while nothing else runs: it uses what an iteration uses.
        self._settle()
        latent, frame = self._decoder.begin(place, image)
        self._denoiser.begin(place, latent, prompt, placement, seed)
        self._commit(place, window, placement, 1)
        self._sessions.append(_Session(next(self._ids), window, prompt is not None))
        return self._sessions[-1].id, frame

    def release(self, session: int) -> None:
        """End a session; the last one moves to its place.

        Raises:
            EngineError: there is no such session.
        """
        place = self._place(session)
        last = len(self._sessions) - 1
        if place != last:
            self._denoiser.move(last, place)
            self._decoder.move(last, place)
        self._sessions[place] = self._sessions[last]
        self._sessions.pop()

    def interrupt(self, session: int) -> None:
        """Give up the chunk in progress of a session, if its latents are not done; may be called from any thread.

        The video stays continuous: what was shown remains the past, and the next chunk goes on from there.

        Raises:
            EngineError: there is no such session.
        """
        self._sessions[self._place(session)].interruptions += 1

    def step(self, audio: Mapping[int, Tensor | None] = {}) -> Pending:
        """Take all sessions forward by a chunk.

        Args:
            audio: for each session speech features around each latent frame of the chunk, (chunk, window, feature_dim)
                as the preset's `AudioConfig` says; None, or no entry, is silence (zeros).

        Returns:
            What is to come, once the latents are done; the pictures are made meanwhile.

        Raises:
            EngineError: there is no session, or the features have the wrong shape.
        """
        if not self._sessions:
            raise EngineError("there is no session", "admit one with a picture first")
        before = [session.interruptions for session in self._sessions]
        speech = [self._speech(audio.get(session.id)) for session in self._sessions]
        placements = [session.window.place(self.preset.stream.chunk) for session in self._sessions]
        if self._read is not None:
            self._read.hold(self._denoiser.stream)  # until what the iteration overwrites was read
        begin = self._clock.mark(self._denoiser.stream)
        prompted = any(session.prompted for session in self._sessions)
        self._denoiser.iterate(placements, prompted, speech)
        done = self._clock.mark(self._denoiser.stream)
        # The transformer goes on with what later frames need while these are decoded.
        self._denoiser.remember(placements, prompted)
        end = self._clock.mark(self._denoiser.stream)
        done.wait()
        self._denoiser.team.check()
        given_up = set()
        for place, (session, count) in enumerate(zip(self._sessions, before, strict=True)):
            if session.interruptions != count:
                given_up.add(place)
            else:
                self._commit(place, session.window, placements[place], self.preset.stream.chunk)
        return self._decode(begin, done, end, given_up)

    def state_dict(self, session: int) -> dict[str, Any]:
        """All that the next frames of a session depend on, copied; plain containers, integers and tensors."""
        place = self._place(session)
        state = {
            "version": _STATE_VERSION,
            "preset": self.preset.name,
            "size": self.size,
            "window": self._sessions[place].window.state_dict(),
            "prompted": self._sessions[place].prompted,
            "denoiser": self._denoiser.state(place),
            "decoder": self._decoder.state(place),
        }
        self._settle()
        return state

    def load_state_dict(self, session: int, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was called, on an engine of the same preset and size.

        Raises:
            EngineError: there is no such session, or the state is of another kind of engine.
        """
        place = self._place(session)
        mine = (_STATE_VERSION, self.preset.name, self.size)
        theirs = (state["version"], state["preset"], tuple(state["size"]))
        if mine != theirs:
            raise EngineError(f"the state is of {theirs}, this engine is {mine}", "make one like the one it is of")
        self._sessions[place].window.load_state_dict(state["window"])
        self._sessions[place].prompted = state["prompted"]
        self._denoiser.set_state(place, state["denoiser"])
        self._decoder.set_state(place, state["decoder"])
        self._settle()

    def _commit(self, place: int, window: RollingWindow, placement: Placement, frames: int) -> None:
        """Count frames that were written as placed, and prepare the cache for the next chunk."""
        turn = window.advance(frames)
        leaving = window.leaving(self.preset.stream.chunk)
        self._denoiser.commit(place, placement, frames, leaving, turn)

    def _decode(self, begin: Mark, done: Mark, end: Mark, given_up: set[int]) -> Pending:
        """Enqueue the pictures of a chunk; for sessions that were given up it leaves no trace."""
        decoding, self._read = self._decoder.decode(self._denoiser.latents[: len(self._sessions)], done, given_up)
        ids = {self._sessions[place].id for place in given_up}
        return Pending(
            self.live,
            ids,
            decoding,
            _Work(begin, end, self._denoiser.stream, self._clock),
            _Work(decoding.begin, decoding.end, self._decoder.stream, self._clock),
        )

    def _speech(self, given: Tensor | None) -> Tensor | None:
        """Features of a chunk as they were given, if they can be heard."""
        if given is not None and self.preset.dit.audio is None:
            raise EngineError(f"preset {self.preset.name} does not listen", "leave the audio out")
        wanted = self._denoiser.features.shape[1:]
        if given is not None and given.shape != wanted:
            raise EngineError(f"the audio is {tuple(given.shape)}, not {tuple(wanted)}")
        return given

    def _settle(self) -> None:
        """Wait for all that was enqueued, on both devices."""
        for stream in (self._denoiser.stream, self._decoder.stream):
            if stream is not None:
                stream.synchronize()

    def _begin_time(self) -> None:
        self._clock.begin([self._denoiser.stream, self._decoder.stream])

    def _place(self, session: int) -> int:
        for place, one in enumerate(self._sessions):
            if one.id == session:
                return place
        raise EngineError(f"there is no session {session}", "use a number that admit gave and release did not take")

    def _check_picture(self, image: Tensor) -> None:
        wanted = (*self.size, 3)
        if image.dtype != torch.uint8 or tuple(image.shape) != wanted:
            raise EngineError(
                f"the picture is {tuple(image.shape)} of {image.dtype}, not {wanted} of torch.uint8",
                f"resize it to {self.size[1]}x{self.size[0]} RGB",
            )
