"""The fixtures of the conformance suite: a backend, its device, models, sessions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesdk.inference import Backend, LoadOptions, ModelFile, Session, open_session
from edgesdk.testing.subjects import Subject, onnx_subject, tflite_subject


class Harness:
    """What the tests of the suite share; see ``edgesdk.testing.conformance``."""

    format = "onnx"
    device = ""
    options = LoadOptions(threads=1, batches=(1, 2, 4))
    load_cycles = 50
    growth_limit = 12 << 20

    def make_backend(self) -> Backend:
        """The backend under test."""
        raise NotImplementedError("return the backend under test")

    def make_subject(self, directory: Path) -> Subject:
        """The models to test it on, written to *directory*."""
        pytest.importorskip("onnx" if self.format == "onnx" else "ai_edge_litert")
        make = {"onnx": onnx_subject, "tflite": tflite_subject}[self.format]
        return make(directory)

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Backend:
        backend = cls().make_backend()
        probe = backend.probe()
        if not probe.available:
            pytest.skip(f"{backend.name} is not available: {probe.detail}")
        return backend

    @pytest.fixture(scope="class")
    @classmethod
    def on(cls, backend: Backend) -> str:
        return cls.device or backend.devices()[0].name

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Subject:
        return cls().make_subject(tmp_path_factory.mktemp("models"))

    @pytest.fixture(scope="class")
    @classmethod
    def session(cls, backend: Backend, subject: Subject, on: str) -> Iterator[Session]:
        session = open_session(backend, ModelFile.of(subject.cnn), on, cls.options)
        yield session
        session.unload()

    @pytest.fixture
    def fresh(self, backend: Backend, subject: Subject, on: str) -> Iterator[Session]:
        """A session that a test may unload."""
        session = open_session(backend, ModelFile.of(subject.cnn), on, self.options)
        yield session
        session.unload()
