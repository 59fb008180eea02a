"""Small real models and cards, made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgesdk.models import ModelCard, load_card

INPUT = """
[[inputs]]
name = "image"
layout = "NCHW"
shape = [1, 3, {height}, {width}]
scale = 255
resize = "{resize}"
"""


@pytest.fixture
def write_card(tmp_path: Path) -> Callable[..., Path]:
    """Writes a card's text, beside an empty model file if it names ``m.onnx``."""

    def write(text: str, name: str = "card.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def detector_card(tmp_path: Path) -> Callable[..., ModelCard]:
    """A card for a decoder alone: its file does not exist, and need not."""

    def make(
        decode: str,
        *,
        labels: str = "",
        width: int = 100,
        height: int = 100,
        resize: str = "stretch",
        outputs: str = "",
        task: str = "detect",
    ) -> ModelCard:
        path = tmp_path / f"{abs(hash((decode, labels, width, resize)))}.toml"
        path.write_text(
            f'schema = 1\nname = "m"\ntask = "{task}"\n{labels}\n'
            '[[variants]]\nfile = "absent.onnx"\nbackend = "onnxruntime"\n'
            f'sha256 = "{"0" * 64}"\n'
            + INPUT.format(width=width, height=height, resize=resize)
            + (f"[outputs]\n{outputs}\n" if outputs else "")
            + f"[decode]\n{decode}\n"
        )
        return load_card(path)

    return make


def onnx_of_constants(path: Path, outputs: dict[str, np.ndarray], shape: list[int]) -> Path:
    """An ONNX model of one input ``image`` that gives *outputs* whatever the image is."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, infos = [], []
    for name, value in outputs.items():
        tensor = numpy_helper.from_array(value.astype(np.float32), f"{name}_value")
        nodes += [
            helper.make_node("Constant", [], [f"{name}_constant"], value=tensor),
            # the image takes part, times zero, so that no runtime drops it
            helper.make_node("ReduceMean", ["image"], [f"{name}_mean"], keepdims=0),
            helper.make_node("Mul", [f"{name}_mean", "zero"], [f"{name}_nothing"]),
            helper.make_node("Add", [f"{name}_constant", f"{name}_nothing"], [name]),
        ]
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(value.shape)))
    graph = helper.make_graph(
        nodes,
        "constants",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        infos,
        [numpy_helper.from_array(np.zeros((), np.float32), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
