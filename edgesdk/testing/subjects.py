"""The models that a backend is tested on, and how to ask and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgesdk.inference import IOSpec, Session, Tensors
from edgesdk.inference.batching import samples
from edgesdk.testing import models, reference

__all__ = [
    "Answer",
    "Subject",
    "needs",
    "onnx_subject",
    "same",
    "stack",
    "tflite_subject",
    "unloading",
]

Answer = Callable[[NDArray[Any]], Tensors]


@dataclass(frozen=True)
class Subject:
    """The models that a backend is tested on; None where its format has no such thing.

    cnn: input ``image`` float32, batchable, outputs ``scores`` and ``features``; answer: what it
    gives for an image. heavy: the same with more than 1 MB of weights. slow: at least 50 ms an
    inference on one thread. mixes_rows: gives a row of a batch what it does not give it alone.
    unsupported: has an operator of the name *unsupported_operator* that nobody has.
    """

    cnn: Path
    answer: Answer
    heavy: Path | None = None
    slow: Path | None = None
    mixes_rows: Path | None = None
    unsupported: Path | None = None
    unsupported_operator: str = ""


def onnx_subject(directory: Path) -> Subject:
    files = {
        "cnn": models.onnx_cnn(),
        "heavy": models.onnx_cnn(width=128),
        "slow": models.onnx_cnn(size=768, width=64),
        "mixes_rows": models.onnx_mixes_rows(),
        "unsupported": models.onnx_custom_operator("EdgesdkUnknown"),
    }
    paths = _write(directory, files, ".onnx")
    return Subject(
        answer=lambda x: dict(reference.cnn(x, layout="NCHW")),
        unsupported_operator="EdgesdkUnknown",
        **paths,
    )


def tflite_subject(directory: Path) -> Subject:
    files = {
        "cnn": models.tflite_cnn(),
        "heavy": models.tflite_cnn(width=128),
        "slow": models.tflite_cnn(size=768, width=64),
        "mixes_rows": models.tflite_swallows_batch(),
        "unsupported": models.tflite_custom_operator("edgesdk-unknown"),
    }
    paths = _write(directory, files, ".tflite")
    return Subject(
        answer=lambda x: dict(reference.cnn(x, layout="NHWC")),
        unsupported_operator="edgesdk-unknown",
        **paths,
    )


def _write(directory: Path, files: dict[str, bytes], suffix: str) -> dict[str, Path]:
    paths = {}
    for name, data in files.items():
        paths[name] = directory / (name + suffix)
        paths[name].write_bytes(data)
    return paths


def needs(path: Path | None) -> Path:
    """That model of a subject; skips the test where there is none."""
    if path is None:
        pytest.skip("the subject has no such model")
    return path


def stack(spec: IOSpec, batch: int) -> Tensors:
    """Inputs of *batch* different rows."""
    rows = samples(spec.inputs, batch)
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def same(got: Tensors, want: Tensors) -> None:
    """Asserts equal names and shapes, and values equal to four digits."""
    assert set(got) == set(want)
    for name, array in want.items():
        assert got[name].shape == array.shape
        np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-4, err_msg=name)


@contextmanager
def unloading(session: Session) -> Iterator[Session]:
    """The session, which is unloaded at the end."""
    try:
        yield session
    finally:
        session.unload()
