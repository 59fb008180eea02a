"""Conformance: what a session says and answers, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgesdk.errors import (
    InputMismatch,
)
from edgesdk.inference import (
    API,
    Backend,
    ModelFile,
    Session,
    open_session,
)
from edgesdk.inference.batching import samples
from edgesdk.testing.harness import Harness
from edgesdk.testing.subjects import Subject, needs, same, stack, unloading


class Answers(Harness):
    """Outputs, descriptions and inputs."""

    def test_its_probe_names_its_version_and_its_api_is_ours(self, backend: Backend) -> None:
        assert backend.api == API
        assert backend.probe().version
        assert backend.name == backend.name.strip().lower()

    def test_it_supports_its_own_model_on_its_own_device(
        self, backend: Backend, subject: Subject, on: str
    ) -> None:
        assert backend.supports(ModelFile.of(subject.cnn), on)
        assert on in [d.name for d in backend.devices()]

    def test_outputs_equal_those_of_the_reference(self, session: Session, subject: Subject) -> None:
        for inputs in samples(session.describe().inputs, 3):
            same(session.infer(inputs), subject.answer(inputs["image"]))

    def test_equal_inputs_give_equal_bytes(self, backend: Backend, session: Session) -> None:
        if not backend.caps.deterministic:
            pytest.skip("the backend does not claim it")
        (inputs,) = samples(session.describe().inputs, 1)
        first, second = session.infer(inputs), session.infer(inputs)
        assert {k: v.tobytes() for k, v in first.items()} == {
            k: v.tobytes() for k, v in second.items()
        }

    def test_describe_tells_the_truth_about_names_shapes_and_dtypes(
        self, backend: Backend, session: Session, on: str
    ) -> None:
        spec = session.describe()
        assert [i.name for i in spec.inputs] == ["image"]
        assert {o.name for o in spec.outputs} == {"scores", "features"}
        assert spec.batches[0] == 1
        assert list(spec.batches) == sorted(set(spec.batches))
        assert (spec.backend, spec.device) == (backend.name, on)
        assert spec.backend_version == backend.probe().version
        assert spec.executed_on
        for batch in spec.batches:
            outputs = session.infer(stack(spec, batch))
            for described in spec.outputs:
                found = outputs[described.name]
                assert str(found.dtype) == described.dtype
                want = (described.shape[0] or 1) * batch, *described.shape[1:]
                assert all(w in (None, n) for w, n in zip(want, found.shape, strict=True))

    def test_a_row_of_a_batch_gets_what_it_gets_alone(
        self, session: Session, subject: Subject
    ) -> None:
        spec = session.describe()
        for batch in spec.batches:
            inputs = stack(spec, batch)
            same(session.infer(inputs), subject.answer(inputs["image"]))

    def test_a_batch_that_was_not_verified_is_refused(self, session: Session) -> None:
        spec = session.describe()
        assert 3 not in spec.batches
        with pytest.raises(InputMismatch, match="batch of 3"):
            session.infer(stack(spec, 3))

    def test_a_model_that_mixes_rows_is_run_one_by_one(
        self, backend: Backend, subject: Subject, on: str
    ) -> None:
        model = needs(subject.mixes_rows)
        session = open_session(backend, ModelFile.of(model), on, self.options)
        with unloading(session):
            assert session.describe().batches == (1,)

    def test_an_input_of_the_wrong_name_is_refused_by_name(self, session: Session) -> None:
        inputs = {"picture": stack(session.describe(), 1)["image"]}
        with pytest.raises(InputMismatch, match=r"'picture'.*'image'"):
            session.infer(inputs)

    def test_a_missing_input_is_refused_by_name(self, session: Session) -> None:
        with pytest.raises(InputMismatch, match="'image' is missing"):
            session.infer({})

    @pytest.mark.parametrize("dtype", ["uint8", "float64", "int32"])
    def test_an_input_of_the_wrong_dtype_is_refused(self, session: Session, dtype: str) -> None:
        inputs = stack(session.describe(), 1)
        with pytest.raises(InputMismatch, match=rf"'image' is {dtype}; the model takes float32"):
            session.infer({"image": inputs["image"].astype(dtype)})

    @pytest.mark.parametrize("change", ["rank", "size", "transposed", "empty"])
    def test_an_input_of_the_wrong_shape_is_refused(self, session: Session, change: str) -> None:
        image = stack(session.describe(), 1)["image"]
        wrong = {
            "rank": image[0],
            "size": image[:, :-1, :-1],
            "transposed": image.transpose(0, 2, 3, 1),
            "empty": image[:0],
        }[change]
        with pytest.raises(InputMismatch, match="'image'"):
            session.infer({"image": wrong})

    def test_a_list_is_no_array(self, session: Session) -> None:
        bad: Any = {"image": [[0.0]]}
        with pytest.raises(InputMismatch, match="list"):
            session.infer(bad)

    def test_submit_refuses_at_once_what_infer_refuses(self, session: Session) -> None:
        with pytest.raises(InputMismatch):
            session.submit({"image": np.zeros((1, 2), np.float32)})

    def test_a_strided_read_only_input_is_read_and_left_alone(
        self, session: Session, subject: Subject
    ) -> None:
        image = stack(session.describe(), 1)["image"]
        wide = np.repeat(image, 2, axis=-1)
        strided = wide[..., ::2]
        strided.flags.writeable = False
        before = strided.tobytes()
        same(session.infer({"image": strided}), subject.answer(image))
        assert strided.tobytes() == before

    def test_outputs_are_never_overwritten(self, session: Session) -> None:
        one, two = samples(session.describe().inputs, 2)
        first = session.infer(one)
        kept = {name: array.copy() for name, array in first.items()}
        session.infer(two)
        session.submit(two).result(30)
        for name, array in first.items():
            assert np.array_equal(array, kept[name])
            assert array.flags.writeable
