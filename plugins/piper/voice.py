"""A Piper voice from its two files, checked, so that what is wrong with a user's own is said."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from piper import PiperVoice
from piper.config import PhonemeType, PiperConfig
from piper.patch_voice_with_alignment import add_alignment_output

from animacy.core.errors import ModelError, RecipeError
from animacy.core.models import Model

REMEDY = "Leave `model` out for the packaged voice, or give a Piper voice: x.onnx with its x.onnx.json beside it."
INPUTS = {"input", "input_lengths", "scales"}
_SAME_LANGUAGE = {"nb": "no", "nn": "no"}
"""Tags that Piper's voices call otherwise."""


class Voice:
    """A loaded voice. Calls of `piper` compute; use one thread for all of them."""

    def __init__(self, piper: PiperVoice, name: str, language: str) -> None:
        self.piper = piper
        self.name = name
        self.language = language

    @classmethod
    def load(cls, model: Model, config: Model | None, *, threads: int, language: str) -> Voice:
        """Fetch, check and load a voice for a character of this language (a BCP 47 tag).

        `config` is the .onnx.json when it is no part of `model`. Raises ModelError, or RecipeError when the voice
        speaks another language.
        """
        path = _onnx_file(model.ensure())
        if config is not None:
            try:
                config.ensure()
            except ModelError as error:
                raise ModelError(f"tts.model: {path.name} needs {path.name}.json: {error.args[0]}", REMEDY) from error
        read = _read(path.with_name(f"{path.name}.json"))
        spoken = str(read.get("language", {}).get("code") or read["espeak"]["voice"]).replace("_", "-")
        if _primary(spoken) != _primary(language):
            raise RecipeError(
                f"tts.model: the voice {path.stem} speaks {spoken}, the character {language}",
                "Set character.language to the voice's language, or tts.model to another voice.",
            )
        piper = PiperVoice(_session(path, threads), PiperConfig.from_dict(read))
        if piper.config.phoneme_type not in (PhonemeType.ESPEAK, PhonemeType.TEXT):
            raise ModelError(
                f"tts.model: the voice {path.stem} reads {piper.config.phoneme_type.value} phonemes, "
                "for which Piper needs models of its own",
                REMEDY,
            )
        return cls(piper, path.stem, language)

    def find(self, name: str) -> int | None:
        """The number of the speaker called `name`, which may be a number itself; None when there is none."""
        config = self.piper.config
        number = config.speaker_id_map.get(name, int(name) if name.isdecimal() else -1)
        return number if config.num_speakers > 1 and 0 <= number < config.num_speakers else None

    def speaker(self, name: str) -> int:
        """The number of the speaker called `name`. Raises RecipeError when there is none."""
        number = self.find(name)
        if number is not None:
            return number
        config = self.piper.config
        if config.num_speakers <= 1:
            raise RecipeError(
                f"tts.voice: the model {self.name} has only one voice, so there is no {name!r}", "Leave tts.voice out."
            )
        names = ", ".join(config.speaker_id_map) or f"0 to {config.num_speakers - 1}"
        raise RecipeError(f"tts.voice: the model {self.name} has no speaker {name!r}", f"Available: {names}.")


def _onnx_file(path: Path) -> Path:
    return next(path.glob("*.onnx"), path) if path.is_dir() else path


def _primary(language: str) -> str:
    tag = language.split("-")[0].lower()
    return _SAME_LANGUAGE.get(tag, tag)


def _read(path: Path) -> dict[str, Any]:
    """The settings of a voice, in which Piper finds what it needs."""
    try:
        read: dict[str, Any] = json.loads(path.read_text("utf-8"))
        PiperConfig.from_dict(read)
    except (OSError, ValueError) as error:
        raise ModelError(f"tts.model: cannot read {path}: {error}", REMEDY) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"tts.model: {path} does not describe a Piper voice (no {error})", REMEDY) from error
    return read


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """The network, made to tell how long each phoneme lasts where its graph can."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # A spinning pool would take the cores from the speech recogniser and the picture between two sentences.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False  # it would keep what the longest sentence needed
    try:
        graph = onnx.load(path)
        with suppress(ValueError):  # it tells already, or it never will: then the mouth is read from the sound
            add_alignment_output(graph)
        session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except (OSError, DecodeError) as error:
        raise ModelError(f"tts.model: {path} is not an ONNX model: {error}", REMEDY) from error
    except Exception as error:  # onnxruntime raises its own types, all below Exception
        raise ModelError(f"tts.model: {path} does not load: {error}", REMEDY) from error
    if not {node.name for node in session.get_inputs()} >= INPUTS:
        raise ModelError(f"tts.model: {path} is not a Piper voice, for its inputs are others", REMEDY)
    return session
