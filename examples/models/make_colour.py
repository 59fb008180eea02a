"""Makes colour.onnx: which of ten colours the middle of an image has. Needs the package onnx.

Nothing is trained: the mean colour of the middle is compared with a palette, and the distances
become probabilities. It stands for a classifier of your own.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PALETTE = {
    "black": (20, 20, 20),
    "grey": (110, 110, 110),
    "white": (225, 225, 225),
    "red": (170, 35, 35),
    "orange": (215, 120, 40),
    "yellow": (215, 200, 60),
    "green": (50, 120, 60),
    "blue": (45, 75, 150),
    "violet": (110, 60, 130),
    "brown": (105, 70, 45),
}
HEIGHT, WIDTH = 64, 32


def make(path: Path) -> None:
    palette = np.array(list(PALETTE.values()), np.float32).reshape(1, len(PALETTE), 3) / 255
    constants = {
        "from": np.array([HEIGHT // 4, WIDTH // 4], np.int64),
        "to": np.array([3 * HEIGHT // 4, 3 * WIDTH // 4], np.int64),
        "rows_columns": np.array([2, 3], np.int64),
        "one": np.array([1], np.int64),
        "palette": palette,
        "sharpness": np.array(-60.0, np.float32),
        "two": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["image", "from", "to", "rows_columns"], ["middle"]),
        helper.make_node("ReduceMean", ["middle", "rows_columns"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["row"]),
        helper.make_node("Sub", ["row", "palette"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["square"]),
        helper.make_node("ReduceSum", ["square", "two"], ["distance"], keepdims=0),
        helper.make_node("Mul", ["distance", "sharpness"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["colours"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("colours", TensorProto.FLOAT, ["n", len(PALETTE)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


if __name__ == "__main__":
    make(Path(__file__).with_name("colour.onnx"))
