"""Models of unusual signature: several inputs, scalars, types and sizes that are not the rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgesdk.errors import InputMismatch, ModelUnsupported
from edgesdk.inference import LoadOptions, ModelFile, Session, discover, open_session
from edgesdk.testing.models import onnx_file

helper = pytest.importorskip("onnx").helper


@pytest.fixture(params=["openvino", "onnxruntime"])
def opened(request, tmp_path: Path):
    """Opens a model of *nodes* on each backend that reads ONNX."""
    (entry,) = [e for e in discover() if e.name == request.param]
    if entry.backend is None or not entry.probe().available:
        pytest.skip(f"{entry.name} is not available: {entry.probe().detail}")
    sessions = []

    def give(nodes, inputs, outputs, constants=None) -> Session:
        path = tmp_path / "model.onnx"
        path.write_bytes(onnx_file(nodes, inputs, outputs, constants or {}))
        options = LoadOptions(threads=1, batches=(1, 2))
        sessions.append(open_session(entry.backend, ModelFile.of(path), "CPU", options))
        return sessions[-1]

    yield give
    for session in sessions:
        session.unload()


def test_inputs_of_one_batch_belong_together(opened):
    session = opened(
        [helper.make_node("Mul", ["x", "by"], ["y"])],
        {"x": ("float32", ["n", 3]), "by": ("float32", ["n", 1])},
        {"y": ("float32", ["n", 3])},
    )
    assert session.describe().batches == (1, 2)
    x, by = np.ones((2, 3), np.float32), np.array([[2], [3]], np.float32)
    assert session.infer({"by": by, "x": x})["y"].tolist() == [[2, 2, 2], [3, 3, 3]]
    with pytest.raises(InputMismatch, match=r"'by' is a batch of 1, another of 2"):
        session.infer({"x": x, "by": by[:1]})


def test_a_scalar_input_keeps_a_model_at_batch_1(opened):
    session = opened(
        [helper.make_node("Mul", ["x", "by"], ["y"])],
        {"x": ("float32", ["n", 3]), "by": ("float32", [])},
        {"y": ("float32", ["n", 3])},
    )
    assert session.describe().batches == (1,)
    inputs = {"x": np.ones((1, 3), np.float32), "by": np.array(4, np.float32)}
    assert session.infer(inputs)["y"].tolist() == [[4, 4, 4]]
    assert session.submit(inputs).result(10)["y"].tolist() == [[4, 4, 4]]


def test_an_output_whose_size_depends_on_the_values_is_open(opened):
    session = opened(
        [helper.make_node("NonZero", ["x"], ["found"])],
        {"x": ("float32", ["n", 4])},
        {"found": ("int64", [2, "k"])},
    )
    assert session.describe().outputs[0].shape == (2, None)
    assert session.describe().batches == (1,)
    for count in (0, 1, 4):
        x = np.zeros((1, 4), np.float32)
        x[0, :count] = 1
        assert session.infer({"x": x})["found"].shape == (2, count)


@pytest.mark.parametrize("dtype", ["bool", "float16", "float64", "uint8", "int32", "int64"])
def test_dtypes_are_those_of_the_file(opened, dtype):
    session = opened(
        [helper.make_node("Reshape", ["x", "target"], ["y"])],
        {"x": (dtype, [1, 4])},
        {"y": (dtype, [2, 2])},
        {"target": np.array([2, 2], np.int64)},
    )
    x = np.array([[0, 1, 1, 0]], dtype)
    y = session.infer({"x": x})["y"]
    assert (str(y.dtype), y.tolist()) == (dtype, x.reshape(2, 2).tolist())
    other = "float32" if dtype != "float32" else "uint8"
    with pytest.raises(InputMismatch, match=f"'x' is {other}; the model takes {dtype}"):
        session.infer({"x": x.astype(other)})


def test_a_model_without_inputs_answers(opened):
    value = helper.make_tensor("value", 1, [2], [1.0, 2.0])
    session = opened(
        [helper.make_node("Constant", [], ["y"], value=value)], {}, {"y": ("float32", [2])}
    )
    assert session.infer({})["y"].tolist() == [1, 2]


def test_a_model_that_gives_strings_is_unsupported(opened, tmp_path):
    with pytest.raises(ModelUnsupported):
        opened(
            [helper.make_node("Cast", ["x"], ["y"], to=8)],
            {"x": ("float32", [1, 3])},
            {"y": ("object", [1, 3])},
        )


def test_open_sizes_may_change_from_call_to_call(opened):
    session = opened(
        [helper.make_node("Relu", ["x"], ["y"])],
        {"x": ("float32", ["n", 3, "h", "w"])},
        {"y": ("float32", ["n", 3, "h", "w"])},
    )
    for size in ((4, 4), (2, 8), (4, 4)):
        x = np.full((1, 3, *size), 2, np.float32)
        assert session.infer({"x": x})["y"].shape == x.shape
    with pytest.raises(InputMismatch, match="'x'"):
        session.infer({"x": np.zeros((1, 4, 4, 4), np.float32)})
