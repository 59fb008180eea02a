"""ONNX Runtime: ``.onnx`` files on CPUs, and on what its execution providers bring."""

from functools import cache

from .backend import OnnxRuntime


@cache
def backend() -> OnnxRuntime:
    """The entry point: one object a process, which imports the runtime when it is first used."""
    return OnnxRuntime()
