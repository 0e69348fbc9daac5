"""Kokoro's two halves as ONNX Runtime sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from animacy.core.errors import ModelError
from animacy.core.models import Model
from animacy.plugins.kokoro.graph import DURATIONS, ENERGY, PITCH, TEXT_FEATURES, split

Floats = NDArray[np.float32]

SAMPLE_RATE = 24_000
FRAME = 600
"""Samples of one encoder frame: 25 ms."""

MAX_TOKENS = 510


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be said, frame by frame, before any of it sounds.

    `text` is (1, 512, T), `pitch` and `energy` are (1, 2T), `durations` the frames of each token including the silent
    ones at both ends, `style` (1, 256).
    """

    text: Floats
    pitch: Floats
    energy: Floats
    durations: NDArray[np.int64]
    style: Floats

    @property
    def frames(self) -> int:
        """T, the length in frames of 25 ms."""
        return int(self.text.shape[2])


class Network:
    """Encoder and decoder of one model file. Calls block while they compute; use one thread for all of them."""

    def __init__(self, model: Model, threads: int = 2) -> None:
        self.model = model
        self._threads = threads
        self._sessions: tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession] | None = None

    def load(self) -> None:
        """Fetch the model, split it, load both parts; does nothing the second time. Raises ModelError."""
        if self._sessions is not None:
            return
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        # A spinning pool would take the cores from the speech recogniser and the picture between two windows.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        encoder, decoder = split(self.model.ensure())
        try:
            self._sessions = (_session(encoder, options), _session(decoder, options))
        except Exception as error:  # onnxruntime raises its own types, all below Exception
            raise ModelError(
                f"the Kokoro model does not load: {error}", f"Remove {encoder.parent} to have it made again."
            ) from error

    def close(self) -> None:
        """Free both parts. May be called twice."""
        self._sessions = None

    def encode(self, tokens: Sequence[int], styles: Floats, speed: float) -> Plan:
        """Plan the speech of up to MAX_TOKENS tokens. `styles` is a voice, (510, 256), one row for each length."""
        if not 0 < len(tokens) <= MAX_TOKENS:
            raise ValueError(f"Kokoro takes 1 to {MAX_TOKENS} tokens, not {len(tokens)}")
        style = styles[len(tokens) - 1][None]
        feeds = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": style,
            "speed": np.full(1, speed, np.float32),
        }
        outputs = [TEXT_FEATURES, PITCH, ENERGY, DURATIONS]
        text, pitch, energy, durations = self._loaded()[0].run(outputs, feeds, _modest())
        return Plan(text, pitch, energy, durations, style)

    def decode(self, plan: Plan, start: int, end: int) -> Floats:
        """Sound of the frames from `start` to `end`, float32, FRAME samples each."""
        feeds = {
            TEXT_FEATURES: plan.text[:, :, start:end],
            PITCH: plan.pitch[:, 2 * start : 2 * end],
            ENERGY: plan.energy[:, 2 * start : 2 * end],
            "style": plan.style,
        }
        audio: Floats = self._loaded()[1].run(["audio"], feeds, _modest())[0].ravel()
        return audio[: (end - start) * FRAME]

    def _loaded(self) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
        if self._sessions is None:
            raise RuntimeError("load the network before it is used")
        return self._sessions


def _modest() -> onnxruntime.RunOptions:
    """Give back what a run needed: the longest sentence would be kept for ever."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _session(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
