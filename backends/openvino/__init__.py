"""OpenVINO: IR, ONNX, TensorFlow and TFLite files on Intel and ARM CPUs, Intel GPUs and NPUs."""

from .backend import OpenVino


def backend() -> OpenVino:
    """The entry point; the runtime is imported when it is first used."""
    return OpenVino()
