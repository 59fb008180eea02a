"""Small real models and cards, made here."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def build_onnx_of_constants(path: Path, outputs: dict[str, np.ndarray], shape: list[int]) -> Path:
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


@pytest.fixture
def onnx_of_constants() -> Callable[..., Path]:
    return build_onnx_of_constants


@pytest.fixture
def tflite_detector() -> Callable[..., Path]:
    return build_tflite_detector


ANCHORS = np.array([[0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 0.5, 0.5], [0.5, 0.5, 1, 1]], np.float32)
# per anchor: background, then two classes
SCORES = np.array([[[0.0, 0.1, 0.9], [0.0, 0.8, 0.2], [0.0, 0.05, 0.04]]], np.float32)


def build_tflite_detector(
    path: Path, *, prefix: str = "TFLite_Detection_PostProcess", labels: str = ""
) -> Path:
    """A TFLite detector that ends in the real op TFLite_Detection_PostProcess.

    An image input [1, 32, 64, 3] uint8 that is ignored, and three fixed anchors as detections.

    Detections: class 1 at 0.9 in the upper left quarter, class 0 at 0.8 in the lower right one.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]

    def tensor(name: str, shape: list[int], kind: int, value: np.ndarray | None = None) -> Any:
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = name, shape, kind, 0
        if value is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(value.tobytes(), np.uint8)
            model.buffers.append(buffer)
            t.buffer = len(model.buffers) - 1
        if kind == schema.TensorType.UINT8:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale, t.quantization.zeroPoint = [1 / 128], [127]
        return t

    f32 = schema.TensorType.FLOAT32
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("image", [1, 32, 64, 3], schema.TensorType.UINT8),
        tensor("codes", [1, 3, 4], f32, np.zeros((1, 3, 4), np.float32)),
        tensor("predictions", [1, 3, 3], f32, SCORES),
        tensor("anchors", [3, 4], f32, ANCHORS),
        tensor(prefix, [1, 3, 4], f32),
        tensor(f"{prefix}:1", [1, 3], f32),
        tensor(f"{prefix}:2", [1, 3], f32),
        tensor(f"{prefix}:3", [1], f32),
    ]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [1, 2, 3], [4, 5, 6, 7]
    options = flexbuffers.Builder()
    with options.Map():
        for key, number in (("max_detections", 3), ("max_classes_per_detection", 1)):
            options.Key(key)
            options.Int(number)
        options.Key("num_classes")
        options.Int(2)
        for key, real in (
            ("nms_score_threshold", 0.3),
            ("nms_iou_threshold", 0.5),
            ("y_scale", 10.0),
            ("x_scale", 10.0),
            ("h_scale", 5.0),
            ("w_scale", 5.0),
        ):
            options.Key(key)
            options.Float(real)
    operator.customOptions = np.frombuffer(bytes(options.Finish()), np.uint8)
    graph.operators = [operator]
    graph.inputs = [0]
    graph.outputs = [6, 4, 7, 5]  # scores, boxes, count, classes: not the op's order
    model.subgraphs = [graph]
    code = schema.OperatorCodeT()
    code.customCode = "TFLite_Detection_PostProcess"
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes = [code]
    if labels:
        _add_metadata(model, schema)

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    data = bytes(builder.Output())
    if labels:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as z:
            z.writestr("names.txt", labels)
        data += archive.getvalue()
    path.write_bytes(data)
    return path


def _add_metadata(model: Any, schema: Any) -> None:
    """TFLITE_METADATA: RGB, mean and std, and names.txt as the labels of the classes."""
    import flatbuffers

    b = flatbuffers.Builder(512)

    def table(fields: dict[int, tuple[str, object]], size: int) -> int:
        b.StartObject(size)
        for slot, (kind, value) in fields.items():
            if kind == "offset":
                b.PrependUOffsetTRelativeSlot(slot, value, 0)
            else:
                b.PrependInt8Slot(slot, value, -1)
        return b.EndObject()

    def floats(values: list[float]) -> int:
        b.StartVector(4, len(values), 4)
        for v in reversed(values):
            b.PrependFloat32(v)
        return b.EndVector()

    def vector(offsets: list[int]) -> int:
        b.StartVector(4, len(offsets), 4)
        for o in reversed(offsets):
            b.PrependUOffsetTRelative(o)
        return b.EndVector()

    mean, std = floats([127.5]), floats([127.5])
    normalisation = table({0: ("offset", mean), 1: ("offset", std)}, 2)
    unit = table({0: ("int8", 1), 1: ("offset", normalisation)}, 2)
    image = table({0: ("int8", 1)}, 2)
    content = table({0: ("int8", 2), 1: ("offset", image)}, 3)
    described = table({3: ("offset", content), 4: ("offset", vector([unit]))}, 7)
    name = b.CreateString("names.txt")
    labels = table({0: ("offset", name), 2: ("int8", 3)}, 5)
    outputs = [table({6: ("offset", vector([labels]))}, 7)]
    graph = table({2: ("offset", vector([described])), 3: ("offset", vector(outputs))}, 9)
    title = b.CreateString("made for a test")
    root = table({0: ("offset", title), 3: ("offset", vector([graph]))}, 8)
    b.Finish(root, file_identifier=b"M001")
    data = bytes(b.Output())
    assert struct.unpack_from("<I", data)[0] < len(data)

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [entry]
