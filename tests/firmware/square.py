"""A detector of one bright thing, as an ONNX file and its card: small, exact, and a real model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 120, 160

CARD = f"""
schema = 1
name = "square"
task = "detect"
licence = "MIT"
labels = {{ 1 = "square" }}
[[variants]]
file = "square.onnx"
backend = "onnxruntime"
[[inputs]]
name = "image"
layout = "NHWC"
dtype = "uint8"
shape = [1, {HEIGHT}, {WIDTH}, 3]
colour = "RGB"
[outputs]
boxes = "boxes"
scores = "scores"
classes = "classes"
count = "number"
[decode]
kind = "ssd-nms"
"""


def write(folder: Path) -> Path:
    """Writes square.onnx and square.toml; returns the card's path.

    uint8 ``image`` [1, 120, 160, 3] -> one box around all pixels brighter than 180, score 1 if
    there are any.
    """
    constants = {
        "bright": np.array(180, np.float32),
        "channel": np.array([3], np.int64),
        "rows": np.array([1], np.int64),
        "columns": np.array([2], np.int64),
        "end": np.array([-(2**31)], np.int64),
        "last": np.array([-1], np.int64),
        "one": np.array([1], np.int64),
        "size": np.array([HEIGHT, WIDTH, HEIGHT, WIDTH], np.float32),
        "height": np.array(HEIGHT, np.float32),
        "width": np.array(WIDTH, np.float32),
        "box": np.array([1, 1, 4], np.int64),
        "single": np.array([1, 1], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        node("ReduceMean", ["real", "channel"], ["grey"], keepdims=0),
        node("Greater", ["grey", "bright"], ["is_bright"]),
        node("Cast", ["is_bright"], ["mask"], to=TensorProto.FLOAT),
        node("ReduceMax", ["mask", "columns"], ["by_row"], keepdims=0),
        node("ReduceMax", ["mask", "rows"], ["by_column"], keepdims=0),
        node("Slice", ["by_row", "last", "end", "one", "last"], ["by_row_back"]),
        node("Slice", ["by_column", "last", "end", "one", "last"], ["by_column_back"]),
    ]
    for source, target in (
        ("by_row", "y1"),
        ("by_column", "x1"),
        ("by_row_back", "up"),
        ("by_column_back", "left"),
    ):
        nodes += [
            node("ArgMax", [source], [f"{target}_whole"], axis=1, keepdims=0),
            node("Cast", [f"{target}_whole"], [target], to=TensorProto.FLOAT),
        ]
    nodes += [
        node("Sub", ["height", "up"], ["y2"]),
        node("Sub", ["width", "left"], ["x2"]),
        node("Concat", ["y1", "x1", "y2", "x2"], ["corners"], axis=0),
        node("Div", ["corners", "size"], ["normalised"]),
        node("Reshape", ["normalised", "box"], ["boxes"]),
        node("ReduceMax", ["by_row", "one"], ["any"], keepdims=0),
        node("Reshape", ["any", "single"], ["scores"]),
        node("Div", ["scores", "scores"], ["classes"]),
        node("Identity", ["any"], ["number"]),
    ]
    graph = helper.make_graph(
        nodes,
        "square",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (
                ("boxes", [1, 1, 4]),
                ("scores", [1, 1]),
                ("classes", [1, 1]),
                ("number", [1]),
            )
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (folder / "square.onnx").write_bytes(model.SerializeToString())
    card = folder / "square.toml"
    card.write_text(CARD)
    return card
