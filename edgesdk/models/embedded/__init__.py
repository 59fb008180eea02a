"""What a model's file says of itself, read without its runtime.

Each format has a reader of its own that touches only the parts it needs and bounds every count and
length before it believes it, since files come from outside.
"""

from __future__ import annotations

from pathlib import Path

from edgesdk.errors import ModelInvalid
from edgesdk.models.embedded.facts import FileFacts, TensorFacts

__all__ = ["FileFacts", "TensorFacts", "read_facts"]


def read_facts(path: Path) -> FileFacts:
    """What the file at *path* says; little or nothing where the format is not known.

    :raises ModelInvalid: the file is not there, is truncated, or is not what its suffix says.
    """
    suffix = path.suffix.lower()
    if suffix not in (".tflite", ".onnx", ".xml", ".pb"):
        return FileFacts(format=suffix.lstrip(".") or "unknown")
    try:
        size = path.stat().st_size
    except OSError as e:
        raise ModelInvalid(f"{path}: {(e.strerror or str(e)).lower()}") from None
    if not path.is_file() or size == 0:
        raise ModelInvalid(f"{path}: {'empty' if path.is_file() else 'not a regular file'}")
    if suffix == ".tflite":
        from edgesdk.models.embedded.tflite import read_tflite

        return read_tflite(path)
    if suffix == ".onnx":
        from edgesdk.models.embedded.onnx import read_onnx

        return read_onnx(path)
    if suffix == ".pb":
        from edgesdk.models.embedded.tensorflow import read_tensorflow

        return read_tensorflow(path)
    from edgesdk.models.embedded.openvino import read_openvino

    return read_openvino(path)
