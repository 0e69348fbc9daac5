"""Splits Kokoro's one graph into an encoder and a decoder, once.

Kokoro decides how long every phoneme lasts before it makes a single sample. Cut between those two steps, the encoder
(29 MB, 0.05 s of compute a clause) tells the mouth its whole future at once, and the decoder (64 MB) can be run over
short windows, so that the first sound leaves long before the last is made.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from animacy.core.errors import ModelError
from animacy.core.models import cache_dir

TEXT_FEATURES = "/encoder/MatMul_1_output_0"
"""Phoneme features repeated by their durations, float32 (1, 512, T); a frame is 25 ms."""

PITCH = "/encoder/Reshape_output_0"
"""Fundamental frequency in Hz, float32 (1, 2T)."""

ENERGY = "/encoder/Reshape_1_output_0"
"""Log-like loudness, float32 (1, 2T): about 8 in vowels, below -3 where nothing sounds."""

DURATIONS = "durations"
"""Frames of each token, int64 (tokens,)."""

_ROUNDED_DURATIONS = "/encoder/Clip_output_0"
_RECIPE = 1  # raise when the cut changes, so that old caches are not read


def split(model: Path) -> tuple[Path, Path]:
    """Paths of the encoder and the decoder of `model`, made when they are not in the user's cache yet.

    Raises ModelError when the file is not a Kokoro graph with the usual names.
    """
    try:
        with model.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read the Kokoro model {model}: {error}") from error
    folder = cache_dir() / f"kokoro-parts-{digest[:16]}-{_RECIPE}"
    if not folder.is_dir():
        _write_parts(model, folder)
    return folder / "encoder.onnx", folder / "decoder.onnx"


def _write_parts(model: Path, folder: Path) -> None:
    """Write both parts beside their final place, then rename: another process sees all of it or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    try:
        _cut(model, draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise somebody else was faster, and theirs is the same
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _cut(model: Path, folder: Path) -> None:
    import numpy as np
    import onnx
    from onnx.utils import Extractor

    try:
        whole = onnx.load(model)
    except Exception as error:  # protobuf's own error types are private
        raise ModelError(f"{model} is not an ONNX model: {error}") from error
    graph = whole.graph
    names = {output for node in graph.node for output in node.output}
    missing = {TEXT_FEATURES, PITCH, ENERGY, _ROUNDED_DURATIONS} - names
    if missing:
        raise ModelError(
            f"{model} is not the Kokoro graph this plugin knows: no tensor {', '.join(sorted(missing))}",
            "Leave `model` out of the recipe to use the packaged kokoro-82m-int8.",
        )
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1], np.int64), "flat"))
    graph.node.append(
        onnx.helper.make_node("Cast", [_ROUNDED_DURATIONS], ["whole_durations"], to=onnx.TensorProto.INT64)
    )
    graph.node.append(onnx.helper.make_node("Reshape", ["whole_durations", "flat"], [DURATIONS]))
    graph.output.append(onnx.helper.make_tensor_value_info(DURATIONS, onnx.TensorProto.INT64, ["tokens"]))
    known = {info.name for info in graph.value_info}
    for name, shape in ((TEXT_FEATURES, [1, 512, "frames"]), (PITCH, [1, "halves"]), (ENERGY, [1, "halves"])):
        if name not in known:
            graph.value_info.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    extractor = Extractor(whole)
    boundary = [TEXT_FEATURES, PITCH, ENERGY]
    onnx.save(extractor.extract_model(["tokens", "style", "speed"], [*boundary, DURATIONS]), folder / "encoder.onnx")
    onnx.save(extractor.extract_model([*boundary, "style"], ["audio"]), folder / "decoder.onnx")
