"""OpenVINO: IR, ONNX, TensorFlow and TFLite files on Intel and ARM CPUs, Intel GPUs and NPUs."""

from functools import cache

from .backend import OpenVino


@cache
def backend() -> OpenVino:
    """The entry point: one object a process, which imports the runtime when it is first used."""
    return OpenVino()
