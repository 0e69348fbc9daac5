"""Several characters on one engine. PROVISIONAL: one stream each, until the batched engine takes its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from animacy.engine.config import Preset
from animacy.engine.errors import EngineError
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.stream import Stream


class Pending:
    """Frames that are on their way."""

    def __init__(self, frames: Mapping[int, Tensor | None]) -> None:
        self._frames = dict(frames)

    def wait(self) -> dict[int, Tensor | None]:
        """Frames by session; None for what was given up."""
        return self._frames


class Sessions:
    """Several characters on one engine, stepped together."""

    def __init__(
        self,
        preset: Preset,
        dit: VideoDiT,
        vae: VideoVAE,
        height: int | None = None,
        width: int | None = None,
        capacity: int = 1,
    ) -> None:
        self.preset, self.capacity = preset, capacity
        self.size = (height or preset.size[0], width or preset.size[1])
        self._networks = dit, vae
        self._streams: dict[int, Stream] = {}
        self._next = 0

    def warm_up(self, progress: Callable[[str, float], None] = lambda text, done: None) -> None:
        """Nothing to do."""
        progress("ready", 1.0)

    def admit(self, image: Tensor, prompt_embeds: Tensor | None = None, seed: int = 0) -> tuple[int, Tensor]:
        """Begin a character's video."""
        if len(self._streams) >= self.capacity:
            raise EngineError(f"all {self.capacity} places of the engine are taken")
        stream = Stream(self.preset, *self._networks, *self.size, seed=seed)
        first = stream.start(image, prompt_embeds)
        self._next += 1
        self._streams[self._next] = stream
        return self._next, first[0, 0].cpu()

    def release(self, session: int) -> None:
        """End a character's video."""
        del self._streams[session]

    def interrupt(self, session: int) -> None:
        """Give up the chunk in progress."""
        if (stream := self._streams.get(session)) is not None:
            stream.interrupt()

    def step(self, audio: Mapping[int, Tensor | None]) -> Pending:
        """Advance all by one chunk."""
        frames: dict[int, Tensor | None] = {}
        for session, stream in self._streams.items():
            features = audio.get(session)
            chunk = stream.step(None if features is None else features[None])
            frames[session] = None if chunk is None else chunk[0].cpu()
        return Pending(frames)
