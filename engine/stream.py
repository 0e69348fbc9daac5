"""One character's video, generated as its speech arrives: some latent frames at a time, for ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from animacy.engine.config import Preset
from animacy.engine.errors import EngineError
from animacy.engine.models import VideoDiT, VideoVAE
from animacy.engine.sessions import Sessions


class Stream:
    """Generates one video from a picture; what several need, and how it is done, is in `Sessions`.

    Args:
        preset: shapes and schedule; `dit` and `vae` must be of its configuration.
        dit: the transformer, on the device that generates.
        vae: the autoencoder; it may be on another device.
        height: of the picture in pixels, a multiple of `preset.pixel_step`; None takes the preset's size.
        width: as `height`.
        seed: of the noise; two streams with the same seed and input draw the same frames.

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
        seed: int = 0,
    ) -> None:
        self._sessions = Sessions(preset, dit, vae, height, width)
        self._seed = seed
        self.preset = preset
        self.size = self._sessions.size

    def warm_up(self, progress: Callable[[str, float], None] = lambda text, done: None) -> None:
        """Capture the graphs, see `Sessions.warm_up`; before the first `start`."""
        self._sessions.warm_up(progress)

    def start(self, image: Tensor, prompt_embeds: Tensor | None = None) -> Tensor:
        """Begin anew from a picture.

        Args:
            image: (height, width, 3), uint8 RGB, of the stream's size.
            prompt_embeds: (words, text_dim) of the text encoder, for presets with text; None is no prompt.

        Returns:
            The picture as the autoencoder gives it back, (height, width, 3), uint8 on the CPU.

        Raises:
            EngineError: the picture or the prompt has the wrong shape.
        """
        self.reset()
        return self._sessions.admit(image, prompt_embeds, self._seed)[1]

    def step(self, audio_window: Tensor | None = None) -> Tensor | None:
        """Generate the next chunk.

        Args:
            audio_window: speech features around each latent frame of the chunk, (chunk, window, feature_dim) as the
                preset's `AudioConfig` says; None is silence (zeros).

        Returns:
            (chunk * temporal_factor, height, width, 3), uint8 RGB on the CPU; None when `interrupt` was called
            meanwhile: the chunk is given up, and the next step follows what came before it.

        Raises:
            EngineError: nothing was started, or the features have the wrong shape.
        """
        session = self._session
        frames = self._sessions.step({session: audio_window}).wait()[session]
        return None if frames is None else frames.clone()

    def interrupt(self) -> None:
        """Give up the chunk in progress, if there is one; may be called from any thread."""
        if self._sessions.live:
            self._sessions.interrupt(self._session)

    def reset(self) -> None:
        """Forget everything but the models, keeping all memory, ready for `start`."""
        for session in self._sessions.live:
            self._sessions.release(session)

    def state_dict(self) -> dict[str, Any]:
        """All that the next frames depend on, copied; plain containers, integers and tensors."""
        return self._sessions.state_dict(self._session)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was called, on a started stream of the same preset and size."""
        self._sessions.load_state_dict(self._session, state)

    @property
    def _session(self) -> int:
        if not self._sessions.live:
            raise EngineError("the stream was not started", "call start with a picture first")
        return self._sessions.live[0]
