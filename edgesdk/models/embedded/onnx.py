"""ONNX: inputs, outputs and ``metadata_props`` of a ModelProto (``onnx.proto3``).

Skips over what it does not need, weights above all.
"""

from __future__ import annotations

from pathlib import Path

from edgesdk.errors import ModelInvalid
from edgesdk.models.embedded.facts import FileFacts, TensorFacts, labels_of_mapping
from edgesdk.models.embedded.protobuf import Damaged, fields, messages, text, view_of

__all__ = ["read_onnx"]

_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
_MAX_TENSORS = 1024
_GRAPH, _METADATA, _PRODUCER = 7, 14, 2
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12


def read_onnx(path: Path) -> FileFacts:
    try:
        return _read_model(view_of(path), path)
    except Damaged as e:
        raise ModelInvalid(f"{path}: truncated, damaged or not ONNX: {e}") from None


def _read_model(view: memoryview, path: Path) -> FileFacts:
    properties: dict[str, str] = {}
    inputs: list[TensorFacts] = []
    outputs: list[TensorFacts] = []
    weights: set[str] = set()
    seen_graph = False
    producer = ""
    for number, value in fields(view):
        if isinstance(value, int):
            continue
        if number == _METADATA and len(properties) < _MAX_TENSORS:
            pair = {n: text(v) for n, v in fields(value) if not isinstance(v, int)}
            properties[pair.get(1, "")] = pair.get(2, "")
        elif number == _PRODUCER:
            producer = text(value)
        elif number == _GRAPH:
            seen_graph = True
            _read_graph(value, inputs, outputs, weights)
    if not seen_graph:
        raise ModelInvalid(f"{path}: not an ONNX model: it has no graph")
    return FileFacts(
        format="onnx",
        inputs=tuple(t for t in inputs if t.name not in weights),
        outputs=tuple(outputs),
        labels=labels_of_mapping(properties["names"]) if "names" in properties else None,
        task=properties.get("task"),
        exporter="ultralytics" if "Ultralytics" in properties.get("author", "") else producer,
        notes={k: v[:300] for k, v in properties.items() if k},
    )


def _read_graph(
    view: memoryview, inputs: list[TensorFacts], outputs: list[TensorFacts], weights: set[str]
) -> None:
    for number, value in fields(view):
        if isinstance(value, int):
            continue
        if number == _INITIALIZER:
            weights.update(text(v) for n, v in fields(value) if n == 8)
        elif number in (_INPUT, _OUTPUT) and len(inputs) + len(outputs) < _MAX_TENSORS:
            (inputs if number == _INPUT else outputs).append(_tensor(value))


def _tensor(view: memoryview) -> TensorFacts:
    name, dtype, shape = "", "unknown", []
    for number, value in fields(view):
        if number == 1:
            name = text(value)
        elif number == 2:
            for tensor in messages(value, 1):
                for part, inner in fields(tensor):
                    if part == 1 and isinstance(inner, int):
                        dtype = _DTYPES.get(inner, "unknown")
                    elif part == 2:
                        shape = [_dimension(d) for d in messages(inner, 1)]
    return TensorFacts(name, tuple(shape), dtype)


def _dimension(view: memoryview) -> int:
    for number, value in fields(view):
        if number == 1 and isinstance(value, int):
            return value if 0 < value < 1 << 31 else -1
    return -1
