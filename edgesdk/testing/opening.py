"""Conformance: files, cards and devices that cannot be used."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edgesdk.errors import (
    Cancelled,
    CardError,
    DeviceUnavailable,
    DigestMismatch,
    ModelError,
    ModelInvalid,
    ModelUnsupported,
)
from edgesdk.inference import (
    Backend,
    ModelFile,
    Session,
    open_session,
)
from edgesdk.inference.host import resident_bytes
from edgesdk.testing.harness import Harness
from edgesdk.testing.subjects import Subject, needs


class Opening(Harness):
    """What opening a model refuses, and in which words."""

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
    def test_a_truncated_file_is_invalid(
        self, backend: Backend, subject: Subject, on: str, tmp_path: Path, part: float
    ) -> None:
        data = subject.cnn.read_bytes()
        cut = tmp_path / subject.cnn.name
        cut.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(ModelInvalid, match=cut.name):
            open_session(backend, ModelFile.of(cut), on, self.options)

    @pytest.mark.parametrize("content", [b"", b"not a model at all", bytes(4096)])
    def test_a_file_that_is_no_model_is_invalid(
        self, backend: Backend, subject: Subject, on: str, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / subject.cnn.name
        path.write_bytes(content)
        with pytest.raises(ModelInvalid, match=path.name):
            open_session(backend, ModelFile.of(path), on, self.options)

    def test_a_file_that_is_not_there_is_invalid(
        self, backend: Backend, subject: Subject, on: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ModelInvalid, match="no model file"):
            open_session(backend, ModelFile(tmp_path / subject.cnn.name), on, self.options)

    def test_a_file_of_another_digest_is_refused(
        self, backend: Backend, subject: Subject, on: str
    ) -> None:
        with pytest.raises(DigestMismatch, match=subject.cnn.name):
            open_session(backend, ModelFile(subject.cnn, sha256="ab" * 32), on, self.options)

    def test_an_operator_that_it_lacks_is_named(
        self, backend: Backend, subject: Subject, on: str
    ) -> None:
        model = needs(subject.unsupported)
        with pytest.raises(ModelUnsupported) as caught:
            open_session(backend, ModelFile.of(model), on, self.options)
        assert any(subject.unsupported_operator in name for name in caught.value.operators)

    def test_a_device_that_is_not_there_is_unavailable(
        self, backend: Backend, subject: Subject
    ) -> None:
        model = ModelFile.of(subject.cnn)
        support = backend.supports(model, "NO-SUCH-DEVICE")
        assert not support
        assert support.reason
        with pytest.raises(DeviceUnavailable, match="NO-SUCH-DEVICE"):
            open_session(backend, model, "NO-SUCH-DEVICE", self.options)

    def test_names_of_the_card_that_the_file_lacks_are_named(
        self, backend: Backend, subject: Subject, on: str
    ) -> None:
        shape = (1, 32, 32, 3)
        with pytest.raises(CardError, match=r"'imagee'.*'image'"):
            open_session(backend, ModelFile(subject.cnn, inputs={"imagee": shape}), on)
        with pytest.raises(CardError, match=r"'boxes'.*'scores'"):
            open_session(backend, ModelFile(subject.cnn, outputs=("boxes",)), on)

    def test_a_shape_of_the_card_that_the_file_cannot_take_is_an_error_of_the_card(
        self, backend: Backend, subject: Subject, on: str
    ) -> None:
        with pytest.raises(CardError, match="image"):
            open_session(backend, ModelFile(subject.cnn, inputs={"image": (1, 5, 7)}), on)

    def test_a_card_cannot_ask_for_more_memory_than_there_is(
        self, backend: Backend, session: Session, subject: Subject, on: str
    ) -> None:
        (image,) = session.describe().inputs
        bomb = tuple(10**6 if (n or 0) > 3 else n or 1 for n in image.shape)
        before = resident_bytes()
        with pytest.raises(ModelError, match="image"):
            open_session(backend, ModelFile(subject.cnn, inputs={"image": bomb}), on)
        assert resident_bytes() - before < 256 << 20

    def test_prepare_can_be_cancelled(self, backend: Backend, subject: Subject, on: str) -> None:
        cancel = threading.Event()
        cancel.set()
        with pytest.raises(Cancelled):
            backend.prepare(ModelFile.of(subject.cnn), on, self.options, cancel=cancel)
