"""Tiny models whose answers depend on the picture, for tests that run whole nodes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

GRID = 4
SIDE = 32


def cells_model(*, work: int = 0, side: int = SIDE) -> bytes:
    """uint8 ``image`` [n, side, side, 3] -> boxes, scores, classes, count: one box a cell of a
    4 x 4 grid, its score the cell's mean brightness. *work*: multiplications of 256 x 256 on the
    way."""
    cell = side // GRID
    n = GRID * GRID
    corners = np.array(
        [
            (y / GRID, x / GRID, (y + 1) / GRID, (x + 1) / GRID)
            for y in range(GRID)
            for x in range(GRID)
        ],
        np.float32,
    )
    constants = {
        "split": np.array([-1, GRID, cell, GRID, cell, 3], np.int64),
        "axes": np.array([2, 4, 5], np.int64),
        "flat": np.array([-1, n], np.int64),
        "full": np.array(255, np.float32),
        "corners": corners[None],
        "zeros": np.zeros((1, n), np.float32),
        "ones": np.ones((1, n), np.float32),
        "one": np.array([1], np.int64),
        "box": np.array([-1, n, 1], np.int64),
        "count": np.array([n], np.float32),
        "matrix": np.eye(256, dtype=np.float32),
        "none": np.array(0, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["real", "split"], ["cells"]),
        helper.make_node("ReduceMean", ["cells", "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "flat"], ["bright"]),
    ]
    bright = "bright"
    if work:
        # From the picture on, so that no runtime computes it once and for all.
        nodes += [
            helper.make_node("ReduceMean", ["real"], ["seen"], keepdims=0),
            helper.make_node("Mul", ["seen", "none"], ["nothing"]),
            helper.make_node("Add", ["matrix", "nothing"], ["m0"]),
            *(helper.make_node("MatMul", [f"m{i}", "matrix"], [f"m{i + 1}"]) for i in range(work)),
            helper.make_node("ReduceMean", [f"m{work}"], ["all"], keepdims=0),
            helper.make_node("Mul", ["all", "none"], ["nil_all"]),
            helper.make_node("Add", ["bright", "nil_all"], ["worked"]),
        ]
        bright = "worked"
    nodes += [
        helper.make_node("Div", [bright, "full"], ["scores"]),
        helper.make_node("Mul", ["scores", "zeros"], ["blank"]),
        helper.make_node("Add", ["blank", "ones"], ["classes"]),
        helper.make_node("Reshape", ["blank", "box"], ["blank3"]),
        helper.make_node("Add", ["blank3", "corners"], ["boxes"]),
        helper.make_node("ReduceMean", ["blank", "one"], ["nil"], keepdims=0),
        helper.make_node("Add", ["nil", "count"], ["number"]),
    ]
    return _onnx(
        nodes,
        constants,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", side, side, 3])],
        {"boxes": ["n", n, 4], "scores": ["n", n], "classes": ["n", n], "number": ["n"]},
    )


def colours_model() -> bytes:
    """uint8 ``image`` [n, 8, 8, 3] RGB -> ``scores`` [n, 3]: the share of red, green and blue."""
    constants = {"axes": np.array([1, 2], np.int64), "full": np.array(255, np.float32)}
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "full"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 8, 8, 3])
    return _onnx(nodes, constants, [image], {"scores": ["n", 3]})


def _onnx(nodes: Any, constants: Any, inputs: Any, outputs: Any) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in outputs.items()],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    return bytes(model.SerializeToString())


CELLS_CARD = """
schema = 1
name = "{name}"
task = "detect"
licence = "MIT"
labels = {{ 1 = "bright" }}
[[variants]]
file = "{name}.onnx"
backend = "onnxruntime"
[[inputs]]
name = "image"
layout = "NHWC"
dtype = "uint8"
shape = [-1, {side}, {side}, 3]
colour = "RGB"
[outputs]
boxes = "boxes"
scores = "scores"
classes = "classes"
count = "number"
[decode]
kind = "ssd-nms"
"""

COLOURS_CARD = """
schema = 1
name = "colours"
task = "classify"
licence = "MIT"
labels = ["red", "green", "blue"]
[[variants]]
file = "colours.onnx"
backend = "onnxruntime"
[[inputs]]
name = "image"
layout = "NHWC"
dtype = "uint8"
shape = [-1, 8, 8, 3]
colour = "RGB"
[outputs]
scores = "scores"
[decode]
kind = "classify"
activation = "none"
"""


@dataclass(frozen=True)
class Cards:
    """Paths of model cards, to be named in applications.

    large_cells has an input of a detector's size, whose pictures are compressed on the wire.
    """

    cells: str
    slow_cells: str
    large_cells: str
    colours: str


@pytest.fixture(scope="session")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Cards:
    folder = tmp_path_factory.mktemp("cards")
    for name, work, side in (("cells", 0, SIDE), ("slow-cells", 60, SIDE), ("large-cells", 0, 160)):
        (folder / f"{name}.onnx").write_bytes(cells_model(work=work, side=side))
        (folder / f"{name}.toml").write_text(CELLS_CARD.format(name=name, side=side))
    (folder / "colours.onnx").write_bytes(colours_model())
    (folder / "colours.toml").write_text(COLOURS_CARD)
    names = ("cells", "slow-cells", "large-cells", "colours")
    return Cards(*(str(folder / f"{name}.toml") for name in names))


@pytest.fixture(scope="session", autouse=True)
def away_from_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``python -c`` and ``-m`` look into the working directory first: from the checkout, whose
    folder edgesdk/ has no native module, a child would import that."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("cwd"))
    yield
    os.chdir(before)


def records_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def eventually(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Polls for what another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)


@pytest.fixture
def records() -> Callable[[Path], list[dict[str, Any]]]:
    return records_of


@pytest.fixture
def wait_for() -> Callable[..., None]:
    return eventually
