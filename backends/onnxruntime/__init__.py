"""ONNX Runtime: ``.onnx`` files on CPUs, and on what its execution providers bring."""

from .backend import OnnxRuntime


def backend() -> OnnxRuntime:
    """The entry point; the runtime is imported when it is first used."""
    return OnnxRuntime()
