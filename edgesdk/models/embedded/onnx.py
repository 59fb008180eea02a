"""ONNX: inputs, outputs and ``metadata_props`` of a ModelProto (``onnx.proto3``).

Reads the protobuf's wire format and skips over what it does not need, weights above all.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from edgesdk.errors import ModelInvalid
from edgesdk.models.embedded.facts import FileFacts, TensorFacts, labels_of_mapping

__all__ = ["read_onnx"]

_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
_MAX_TEXT = 8 << 20
_MAX_TENSORS = 1024
_GRAPH, _METADATA, _PRODUCER = 7, 14, 2
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12

Field = tuple[int, int | memoryview]


def read_onnx(path: Path) -> FileFacts:
    # not closed but left to the last view of it: an error's traceback may hold one
    with path.open("rb") as f:
        view = memoryview(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return _read_model(view, path)
    except _Damaged as e:
        raise ModelInvalid(f"{path}: truncated, damaged or not ONNX: {e}") from None


class _Damaged(Exception):
    pass


def _read_model(view: memoryview, path: Path) -> FileFacts:
    properties: dict[str, str] = {}
    inputs: list[TensorFacts] = []
    outputs: list[TensorFacts] = []
    weights: set[str] = set()
    seen_graph = False
    producer = ""
    for number, value in _fields(view):
        if isinstance(value, int):
            continue
        if number == _METADATA and len(properties) < _MAX_TENSORS:
            pair = {n: _text(v) for n, v in _fields(value) if not isinstance(v, int)}
            properties[pair.get(1, "")] = pair.get(2, "")
        elif number == _PRODUCER:
            producer = _text(value)
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
    for number, value in _fields(view):
        if isinstance(value, int):
            continue
        if number == _INITIALIZER:
            weights.update(_text(v) for n, v in _fields(value) if n == 8)
        elif number in (_INPUT, _OUTPUT) and len(inputs) + len(outputs) < _MAX_TENSORS:
            (inputs if number == _INPUT else outputs).append(_tensor(value))


def _tensor(view: memoryview) -> TensorFacts:
    name, dtype, shape = "", "unknown", []
    for number, value in _fields(view):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for tensor in _messages(value, 1):
                for part, inner in _fields(tensor):
                    if part == 1 and isinstance(inner, int):
                        dtype = _DTYPES.get(inner, "unknown")
                    elif part == 2:
                        shape = [_dimension(d) for d in _messages(inner, 1)]
    return TensorFacts(name, tuple(shape), dtype)


def _dimension(view: memoryview) -> int:
    for number, value in _fields(view):
        if number == 1 and isinstance(value, int):
            return value if 0 < value < 1 << 31 else -1
    return -1


def _messages(value: int | memoryview, number: int) -> Iterator[memoryview]:
    if isinstance(value, int):
        raise _Damaged("a number where a message belongs")
    for n, v in _fields(value):
        if n == number and not isinstance(v, int):
            yield v


def _text(value: int | memoryview) -> str:
    if isinstance(value, int):
        raise _Damaged("a number where a text belongs")
    if len(value) > _MAX_TEXT:
        raise _Damaged(f"a text of {len(value)} bytes")
    return bytes(value).decode("utf-8", "replace")


def _fields(view: memoryview) -> Iterator[Field]:
    """(number, value) of each field: varints as int, delimited ones as a view of their bytes."""
    at, end = 0, len(view)
    while at < end:
        key, at = _varint(view, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(view, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _Damaged(f"a field of the unknown kind {kind}")
        if length > end - at:
            raise _Damaged("a field is longer than the file")
        yield key >> 3, view[at : at + length]
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise _Damaged("it ends within a number")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Damaged("a number is too long")
