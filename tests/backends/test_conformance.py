"""The shipped suite on each backend of ours, and the backends against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgesdk.inference import Backend, LoadOptions, ModelFile, discover, open_session
from edgesdk.inference.batching import samples
from edgesdk.testing import models, reference
from edgesdk.testing.conformance import BackendConformance


def backend_named(name: str) -> Backend:
    (found,) = [e.backend for e in discover() if e.name == name and e.backend is not None]
    if not found.probe().available:
        pytest.skip(f"{name} is not available: {found.probe().detail}")
    return found


class TestOpenVinoOnOnnx(BackendConformance):
    format = "onnx"

    def make_backend(self) -> Backend:
        return backend_named("openvino")


class TestOpenVinoOnTflite(BackendConformance):
    format = "tflite"

    def make_backend(self) -> Backend:
        return backend_named("openvino")


class TestLiteRt(BackendConformance):
    format = "tflite"

    def make_backend(self) -> Backend:
        return backend_named("litert")


class TestOnnxRuntime(BackendConformance):
    format = "onnx"

    def make_backend(self) -> Backend:
        return backend_named("onnxruntime")


@pytest.mark.parametrize(
    ("suffix", "dtype", "backends"),
    [
        ("onnx", "float32", ("openvino", "onnxruntime")),
        ("onnx", "uint8", ("openvino", "onnxruntime")),
        ("tflite", "float32", ("openvino", "litert")),
        ("tflite", "uint8", ("openvino", "litert")),
        ("tflite", "int8", ("openvino", "litert")),
    ],
)
def test_backends_agree_on_one_file_to_five_digits(
    tmp_path: Path, suffix: str, dtype: str, backends: tuple[str, ...]
) -> None:
    make = {"onnx": models.onnx_cnn, "tflite": models.tflite_cnn}[suffix]
    path = tmp_path / f"cnn.{suffix}"
    path.write_bytes(make(dtype=dtype))
    answers = []
    for name in backends:
        session = open_session(
            backend_named(name), ModelFile.of(path), "CPU", LoadOptions(threads=1)
        )
        (inputs,) = samples(session.describe().inputs, 1)
        answers.append(session.infer(inputs))
        session.unload()
    layout = "NCHW" if suffix == "onnx" else "NHWC"
    want = reference.cnn(inputs["image"], layout=layout)
    for name in ("scores", "features"):
        np.testing.assert_allclose(answers[0][name], answers[1][name], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(answers[0][name], want[name], rtol=1e-4, atol=1e-4)
