"""What only OpenVINO does: artefacts, formats with shapes left open, names, hints, telemetry."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgesdk.backends.openvino import failures, runtime

from edgesdk.errors import BackendUnavailable, Cancelled, ModelInvalid
from edgesdk.inference import LoadOptions, ModelFile, get_backend, open_session
from edgesdk.inference.batching import samples
from edgesdk.models.artefacts import ArtefactCache
from edgesdk.testing import models, reference

try:
    ov = runtime.module()
except BackendUnavailable as error:
    pytest.skip(str(error), allow_module_level=True)


class Store(ArtefactCache):
    """The cache on disk, which counts what is put into it."""

    writes = 0

    def put(self, key: str, write: Callable[[Path], None]) -> Path:
        self.writes += 1
        return super().put(key, write)


@pytest.fixture
def cnn(tmp_path: Path) -> ModelFile:
    path = tmp_path / "cnn.onnx"
    path.write_bytes(models.onnx_cnn())
    return ModelFile.of(path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artefacts")


def right(session, image) -> bool:
    want = reference.cnn(image, layout="NCHW")
    got = session.infer({"image": image})
    # bfloat16 would be off by a hundred times as much.
    return all(np.allclose(got[k], want[k], rtol=1e-4, atol=1e-5) for k in want)


def test_a_second_load_comes_from_the_store_and_answers_the_same(cnn, store):
    backend = get_backend("openvino")
    options = LoadOptions(threads=1, batches=(1, 2), store=store)
    for turn in ("first", "second"):
        session = open_session(backend, cnn, "CPU", options)
        spec = session.describe()
        assert (spec.compiled_from, spec.batches, spec.precision) == ("cache", (1, 2), "fp32"), turn
        assert right(session, samples(spec.inputs, 1)[0]["image"])
        session.unload()
    assert store.writes == 2, "one compilation a batch size, none in the second turn"


def test_without_a_store_a_model_is_compiled_from_its_file(cnn):
    session = open_session(get_backend("openvino"), cnn, "CPU", LoadOptions(threads=1))
    assert session.describe().compiled_from == "model"
    session.unload()


def test_an_artefact_that_the_runtime_refuses_is_made_anew(cnn, store):
    backend = get_backend("openvino")
    options = LoadOptions(threads=1, store=store)
    artifact = backend.prepare(cnn, "CPU", options)
    key = artifact.keys[1]
    half = store.get(key).read_bytes()[:5000]
    store.discard(key)
    store.put(key, lambda path: path.write_bytes(half))
    session = backend.load(artifact, "CPU", options)
    assert session.describe().compiled_from == "model"
    assert right(session, samples(session.describe().inputs, 1)[0]["image"])
    session.unload()
    again = backend.load(artifact, "CPU", options)
    assert again.describe().compiled_from == "cache"
    again.unload()


def test_a_flipped_byte_in_an_artefact_is_never_loaded(cnn, store):
    backend = get_backend("openvino")
    options = LoadOptions(threads=1, store=store)
    open_session(backend, cnn, "CPU", options).unload()
    (blob,) = store.folder.glob("*.blob")
    changed = bytearray(blob.read_bytes())
    changed[len(changed) // 2] ^= 0x40
    blob.write_bytes(changed)
    session = open_session(backend, cnn, "CPU", options)
    assert right(session, samples(session.describe().inputs, 1)[0]["image"])
    session.unload()
    assert store.writes == 2, "compiled again"


@pytest.mark.parametrize(
    "other",
    [LoadOptions(threads=2), LoadOptions(threads=1, precision="fast")],
    ids=["threads", "precision"],
)
def test_other_options_are_another_artefact(cnn, store, other):
    backend = get_backend("openvino")
    options = LoadOptions(threads=1)
    keys = set()
    for chosen in (options, other):
        full = LoadOptions(chosen.threads, (1,), chosen.precision, store)
        keys.add(backend.prepare(cnn, "CPU", full).keys[1])
    assert len(keys) == 2


def test_preparing_tells_its_progress_and_stops_between_batches(cnn, store):
    backend = get_backend("openvino")
    cancel = threading.Event()
    told = []

    def progress(fraction: float, word: str) -> None:
        told.append(fraction)
        cancel.set()

    with pytest.raises(Cancelled):
        backend.prepare(cnn, "CPU", LoadOptions(batches=(1, 2), store=store), progress, cancel)
    assert store.writes == 1
    backend.prepare(cnn, "CPU", LoadOptions(batches=(1, 2), store=store), progress)
    assert told == [0.0, 0.0, 0.5, 1.0]


def test_open_sizes_are_fixed_by_the_card_and_else_free(tmp_path):
    from onnx import helper

    path = tmp_path / "open.onnx"
    shape = ("float32", ["n", 3, "h", "w"])
    path.write_bytes(
        models.onnx_file(
            [helper.make_node("Relu", ["image"], ["out"])], {"image": shape}, {"out": shape}, {}
        )
    )
    backend = get_backend("openvino")
    half = ModelFile(path, inputs={"image": (1, 3, 8, -1)})
    session = open_session(backend, half, "CPU")
    assert session.describe().inputs[0].shape == (1, 3, 8, None)
    session.unload()
    carded = ModelFile(path, inputs={"image": (1, 3, 8, 6)})
    session = open_session(backend, carded, "CPU", LoadOptions(batches=(1, 2)))
    assert session.describe().inputs[0].shape == (1, 3, 8, 6)
    assert session.describe().batches == (1, 2)
    session.unload()
    session = open_session(backend, ModelFile(path), "CPU")
    assert session.describe().inputs[0].shape == (1, 3, None, None)
    for size in ((5, 7), (2, 2)):
        image = np.full((1, 3, *size), -1, np.float32)
        assert session.infer({"image": image})["out"].shape == image.shape
        assert session.submit({"image": image}).result(10)["out"].sum() == 0
    session.unload()


def test_an_ir_is_checked_with_the_weights_beside_it(tmp_path, cnn):
    path = tmp_path / "ir.xml"
    ov.save_model(ov.Core().read_model(cnn.path), path, compress_to_fp16=False)
    model = ModelFile.of(path)
    session = open_session(get_backend("openvino"), model, "CPU", LoadOptions(threads=1))
    assert right(session, samples(session.describe().inputs, 1)[0]["image"])
    session.unload()
    weights = path.with_suffix(".bin")
    changed = bytearray(weights.read_bytes())
    changed[100] ^= 1
    weights.write_bytes(changed)
    assert ModelFile.of(path).sha256 != model.sha256
    weights.unlink()
    with pytest.raises(ModelInvalid, match=r"ir\.xml"):
        open_session(get_backend("openvino"), ModelFile(path), "CPU")


def test_a_running_ticket_can_be_cancelled(tmp_path):
    path = tmp_path / "slow.onnx"
    path.write_bytes(models.onnx_cnn(size=1024, width=64))
    session = open_session(get_backend("openvino"), ModelFile.of(path), "CPU", LoadOptions(1))
    (inputs,) = samples(session.describe().inputs, 1)
    first, second = session.submit(inputs), session.submit(inputs)
    assert second.cancel()
    with pytest.raises(Cancelled):
        second.result(30)
    assert first.result(30)["scores"].shape == (1, 10)
    third = session.submit(inputs)
    assert not second.cancel(), "it ended; the third must not end with it"
    assert third.result(30)
    session.unload()


def test_the_number_of_threads_is_that_of_the_options(cnn):
    for threads in (1, 2):
        session = open_session(get_backend("openvino"), cnn, "CPU", LoadOptions(threads))
        assert session.describe().threads == threads
        session.unload()


def test_auto_says_what_it_really_runs_on(cnn):
    session = open_session(get_backend("openvino"), cnn, "AUTO:CPU")
    assert (session.describe().device, session.describe().executed_on) == ("AUTO:CPU", "CPU")
    session.unload()


@pytest.mark.parametrize(
    ("text", "operators"),
    [
        (
            "FrontEnd API failed:\nNo translator found for edgetpu-custom-op node.\n",
            ("edgetpu-custom-op",),
        ),
        ("-- No conversion rule found for operations: a.B, a.C\nTo facilitate", ("a.B", "a.C")),
        ("something else", ()),
    ],
)
def test_operators_that_openvino_lacks_are_found_in_its_words(text, operators):
    assert failures.unsupported(text) == operators
