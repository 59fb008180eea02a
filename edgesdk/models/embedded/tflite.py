"""TFLite: tensors and the post-processing op from the model, the rest from its metadata.

The model follows ``schema.fbs`` (identifier TFL3), the metadata ``metadata_schema.fbs`` (M001) in
a buffer named TFLITE_METADATA; associated files, such as labels, are a zip after the flatbuffer.
"""

from __future__ import annotations

import mmap
import zipfile
from pathlib import Path
from typing import Any

from edgesdk.errors import CardError, ModelInvalid
from edgesdk.models.embedded.facts import FileFacts, TensorFacts, labels_of_mapping
from edgesdk.models.embedded.flatbuffer import Buffer, Table
from edgesdk.models.labels import parse_labels
from edgesdk.models.schema import Quantisation

__all__ = ["read_tflite"]

_DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16",
    9: "int8", 10: "float64", 15: "uint32",
}  # fmt: skip
_POST_PROCESSING = "TFLite_Detection_PostProcess"
_ROLES = ("boxes", "classes", "scores", "count")
_MAX_LABEL_BYTES = 8 << 20
_MAX_ZIP_ENTRIES = 256
_IMAGE_PROPERTIES = 2
_NORMALISATION = 1
_SCORE_THRESHOLD = 3
_VALUE_LABELS = (2, 3)  # of an axis, of a value


def read_tflite(path: Path) -> FileFacts:
    with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if len(mapped) < 16 or mapped[4:8] != b"TFL3":
            raise ModelInvalid(f"{path}: not a TFLite model")
        return _read_model(Buffer(mapped, str(path)).root(), path)


def _read_model(model: Table, path: Path) -> FileFacts:
    graphs = model.tables(2)
    if not graphs:
        raise ModelInvalid(f"{path}: a TFLite model without a graph")
    graph = graphs[0]
    tensors = graph.tables(0)
    inputs = tuple(_tensor(tensors, i, path) for i in graph.numbers(1, "i"))
    outputs = tuple(_tensor(tensors, i, path) for i in graph.numbers(2, "i"))
    facts: dict[str, Any] = {"inputs": inputs, "outputs": outputs}
    facts["post_processing"], facts["classes"] = _post_processing(model, graph, tensors, path)
    notes = {}
    if model.text(3):
        notes["description"] = model.text(3)[:300]
    metadata = _metadata(model, path)
    if metadata is not None:
        facts.update(_read_metadata(metadata, len(inputs)))
        notes["metadata"] = metadata.text(0)[:300]
    named = facts.pop("label_files", ())
    labels = _labels(path, named)
    return FileFacts(format="tflite", labels=labels, notes=notes, **facts)


def _tensor(tensors: list[Table], index: int, path: Path) -> TensorFacts:
    if not 0 <= index < len(tensors):
        raise ModelInvalid(f"{path}: damaged: it has no tensor {index}")
    tensor = tensors[index]
    shape = tensor.numbers(0, "i")
    signature = tensor.numbers(7, "i")
    if len(signature) == len(shape):
        shape = signature
    dtype = _DTYPES.get(tensor.number(1, "<b"), "unknown")
    quantisation = None
    parameters = tensor.table(4)
    if parameters is not None:
        scales, zeros = parameters.reals(2), parameters.numbers(3, "q")
        if len(scales) == 1 and scales[0] > 0:
            quantisation = Quantisation(scales[0], zeros[0] if zeros else 0)
    return TensorFacts(tensor.text(3), shape, dtype, quantisation)


def _post_processing(
    model: Table, graph: Table, tensors: list[Table], path: Path
) -> tuple[dict[str, str], int | None]:
    """The op's outputs by role, and its classes: the order of outputs is the op's, whatever the
    file calls them and however it sorts them."""
    codes = [code.text(1) for code in model.tables(1)]
    for operator in graph.tables(3):
        index = operator.number(0, "<I")
        if index < len(codes) and codes[index] == _POST_PROCESSING:
            names = [_tensor(tensors, i, path).name for i in operator.numbers(2, "i")]
            inputs = operator.numbers(1, "i")
            scores = _tensor(tensors, inputs[1], path).shape if len(inputs) > 1 else ()
            return dict(zip(_ROLES, names, strict=False)), scores[-1] if scores else None
    return {}, None


def _metadata(model: Table, path: Path) -> Table | None:
    for entry in model.tables(6):
        if entry.text(0) == "TFLITE_METADATA":
            buffers = model.tables(4)
            index = entry.number(1, "<I")
            if index < len(buffers):
                data = buffers[index].raw(0)
                if data[4:8] == b"M001":
                    return Buffer(data, f"{path}: metadata").root()
    return None


def _read_metadata(metadata: Table, inputs: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    label_files = []
    for graph in metadata.tables(3)[:1]:
        described = graph.tables(2)
        if inputs == 1 and len(described) == 1:
            found.update(_read_input(described[0]))
        for output in graph.tables(3):
            label_files += [
                a.text(0) for a in output.tables(6) if a.number(2, "<b") in _VALUE_LABELS
            ]
            for unit in output.tables(4):
                options = unit.table(1)
                if unit.number(0, "<B") == _SCORE_THRESHOLD and options is not None:
                    found["score"] = options.real(0)
    found["label_files"] = tuple(label_files)
    return found


def _read_input(described: Table) -> dict[str, Any]:
    found: dict[str, Any] = {}
    content = described.table(3)
    if content is not None and content.number(0, "<B") == _IMAGE_PROPERTIES:
        image = content.table(1)
        if image is not None:
            found["colour"] = {1: "RGB", 2: "GRAY"}.get(image.number(0, "<b"))
    for unit in described.tables(4):
        options = unit.table(1)
        if unit.number(0, "<B") == _NORMALISATION and options is not None:
            found["mean"] = options.reals(0) or None
            found["scale"] = options.reals(1) or None
    return found


def _labels(path: Path, named: tuple[str, ...]) -> dict[int, str] | None:
    """Labels of the appended zip: the file that the metadata names, else one that looks like it."""
    try:
        with zipfile.ZipFile(path) as z:
            names = [i for i in z.infolist()[:_MAX_ZIP_ENTRIES] if i.file_size <= _MAX_LABEL_BYTES]
            for info in sorted(names, key=lambda i: (i.filename not in named, i.filename)):
                with z.open(info) as f:
                    text = f.read(_MAX_LABEL_BYTES).decode("utf-8", "replace")
                if info.filename in named or "label" in info.filename.lower():
                    return parse_labels(text, info.filename)
                if "meta" in info.filename.lower():  # Ultralytics: a dict with the names
                    return labels_of_mapping(text)
    except (zipfile.BadZipFile, CardError, OSError, RuntimeError, NotImplementedError, EOFError):
        return None  # most models have no zip
    return None
