"""What a picture shows, as one of ImageNet's thousand classes: EfficientNet-Lite0 (Tan and Le 2019)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.plugins.perception.sessions import session
from animacy.plugins.perception.torch_file import read_weights

Pixels = NDArray[np.uint8]
F32 = NDArray[np.float32]

_SIDE = 224
# Of each stage: blocks, kernel, stride of the first block, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON = 1e-3


class Classifier:
    """Names what pictures show. Not safe for use from two threads at once."""

    def __init__(self, weights: Path, threads: int = 1) -> None:
        text = resources.files("animacy.plugins.perception").joinpath("labels.json").read_text("utf-8")
        self.labels: tuple[str, ...] = tuple(json.loads(text))
        self._session = session(_graph(read_weights(weights)), threads)

    def __call__(self, pictures: Sequence[Pixels]) -> F32:
        """Probabilities (n, 1000) of RGB pictures of any size, which are squeezed into squares."""
        batch = np.stack([cv2.resize(p, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for p in pictures])
        x = ((batch.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)
        logits = self._session.run(None, {"x": np.ascontiguousarray(x)})[0]
        e = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(e / e.sum(1, keepdims=True), np.float32)


def _graph(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """The network as ONNX, batch normalisation folded into the convolutions."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    tensors: list[Any] = []

    def constant(name: str, value: NDArray[Any]) -> str:
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        out = f"y{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def conv(x: str, name: str, norm: str, stride: int = 1, depthwise: bool = False, active: bool = True) -> str:
        kernel = weights[f"{name}.weight"]
        scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _EPSILON)
        shift = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        y = node(
            "Conv",
            x,
            constant(f"{name}.w", kernel * scale[:, None, None, None]),
            constant(f"{name}.b", shift),
            strides=[stride, stride],
            group=kernel.shape[0] if depthwise else 1,
            auto_pad="SAME_UPPER",
        )
        return node("Clip", y, "zero", "six") if active else y

    constant("zero", np.array(0))
    constant("six", np.array(6))
    y = conv("x", "_conv_stem", "_bn0", stride=2)
    index = 0
    for blocks, _, first_stride, expansion, _ in _STAGES:
        for block in range(blocks):
            name = f"_blocks.{index}"
            stride = first_stride if block == 0 else 1
            start = y
            if expansion > 1:
                y = conv(y, f"{name}._expand_conv", f"{name}._bn0")
            y = conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, depthwise=True)
            y = conv(y, f"{name}._project_conv", f"{name}._bn2", active=False)
            if block > 0:
                y = node("Add", y, start)
            index += 1
    y = conv(y, "_conv_head", "_bn1")
    y = node("Flatten", node("GlobalAveragePool", y))
    y = node("Gemm", y, constant("fc.w", weights["_fc.weight"]), constant("fc.b", weights["_fc.bias"]), transB=1)
    graph = helper.make_graph(
        nodes,
        "efficientnet_lite0",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, _SIDE, _SIDE])],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["n", len(weights["_fc.bias"])])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
