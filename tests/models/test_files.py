"""What files say of themselves, against cards and against the runtimes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgesdk.errors import CardError, EdgeError, ModelInvalid
from edgesdk.inference import get_backend, open_session
from edgesdk.models import Codec, ModelCard, ModelRegistry, load_card
from edgesdk.models.agreement import compare
from edgesdk.models.drafts import draft_card, write_draft
from edgesdk.models.embedded import read_facts
from edgesdk.models.schema import Quantisation

COCO = [f"thing {i}" for i in range(80)]
Backends = Callable[[ModelCard], dict[str, list]]
Make = Callable[..., Path]


def yolo_output() -> np.ndarray:
    out = np.zeros((1, 84, 105), np.float32)
    out[0, 0] = np.linspace(0, 64, 105)
    out[0, :4, 3] = [32, 32, 16, 32]
    out[0, 4 + 17, 3] = 0.9
    return out


@pytest.fixture
def ultralytics_onnx(onnx_of_constants: Make) -> Make:
    """Makes a YOLO v8 that always sees thing 17, with the metadata of Ultralytics' exporter."""

    def make(path: Path) -> Path:
        return add_metadata(onnx_of_constants(path, {"output0": yolo_output()}, [1, 3, 64, 64]))

    return make


def add_metadata(path: Path) -> Path:
    import onnx

    model = onnx.load(path)
    names = "{" + ", ".join(f"{i}: '{n}'" for i, n in enumerate(COCO)) + "}"
    for key, value in (
        ("names", names),
        ("stride", "32"),
        ("imgsz", "[64, 64]"),
        ("task", "detect"),
        ("author", "Ultralytics"),
    ):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)
    return path


def ir_of_detections(path: Path, *, info: bool = True) -> Path:
    """An IR that ends in [1, 1, n, 7], with ModelAPI's rt_info."""
    import openvino as ov
    from openvino import opset13 as ops

    image = ops.parameter([1, 3, 32, 64], ov.Type.f32, name="image")
    image.output(0).set_names({"image"})
    rows = np.array([[0, 1, 0.9, 0.25, 0.25, 0.75, 0.5], [-1, 0, 0, 0, 0, 0, 0]], np.float32)
    nothing = ops.multiply(
        ops.reduce_mean(image, np.array([0, 1, 2, 3]), True), np.zeros((1, 1, 1, 1), np.float32)
    )
    out = ops.add(ops.constant(rows[None, None]), nothing)
    out.output(0).set_names({"detection_out", "alias_of_it"})
    model = ov.Model([out], [image], "detector")
    if info:
        for key, value in (
            ("model_type", "ssd"),
            ("labels", "background hard_hat"),
            ("confidence_threshold", "0.4"),
            ("reverse_input_channels", "YES"),
            ("resize_type", "fit_to_window_letterbox"),
            ("mean_values", "127.5 127.5 127.5"),
            ("scale_values", "128"),
        ):
            model.set_rt_info(value, ["model_info", key])
    ov.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.fixture
def on_every_backend() -> Backends:
    """Decodes a grey frame of 200 x 100 on each backend that a card's variant names."""

    def run(card: ModelCard) -> dict[str, list]:
        found = {}
        variant = card.variants[0]
        for name in variant.backends:
            backend = get_backend(name)
            model = card.model_file(variant)
            if not backend.supports(model, backend.devices()[0].name):
                continue
            session = open_session(backend, model)
            codec = Codec(card, variant)
            codec.bind({t.name: t for t in session.describe().outputs})
            feeds, geometries = codec.encode([(np.full((100, 200, 3), 90, np.uint8), "BGR", None)])
            (value,) = codec.decode(session.infer(feeds), geometries)
            session.unload()
            found[name] = value.to_json()["items"]
        return found

    return run


def test_onnx_metadata_makes_a_whole_card(
    tmp_path: Path, on_every_backend: Backends, ultralytics_onnx: Make
) -> None:
    model = ultralytics_onnx(tmp_path / "yolo 11n.onnx")
    facts = read_facts(model)
    assert facts.inputs[0].shape == (1, 3, 64, 64)
    assert facts.outputs[0].name == "output0"
    assert dict(facts.labels or {}) == dict(enumerate(COCO))
    path, draft = write_draft(model)
    assert draft.lacking == ()
    card = load_card(path)
    assert card.name == "yolo-11n"
    assert card.document.inputs[0].resize == "letterbox"
    found = on_every_backend(card)
    assert set(found) == {"onnxruntime", "openvino"}
    for items in found.values():
        assert [(i["label"], i["label_id"]) for i in items] == [("thing 17", 17)]
        # 64 x 64 letterboxed from 200 x 100: 3.125 frame pixels a step, 16 rows of padding
        np.testing.assert_allclose(items[0]["box"], [75, 0, 125, 100], atol=0.01)


def test_the_post_processing_op_is_bound_by_what_the_op_says(
    tmp_path: Path, on_every_backend: Backends, tflite_detector: Make
) -> None:
    # exported graphs call the op's outputs StatefulPartitionedCall and sort them as they like
    model = tflite_detector(
        tmp_path / "ssd.tflite", prefix="StatefulPartitionedCall", labels="person\nbicycle\n"
    )
    facts = read_facts(model)
    assert facts.post_processing == {
        "boxes": "StatefulPartitionedCall",
        "classes": "StatefulPartitionedCall:1",
        "scores": "StatefulPartitionedCall:2",
        "count": "StatefulPartitionedCall:3",
    }
    assert dict(facts.labels or {}) == {0: "person", 1: "bicycle"}
    assert (facts.mean, facts.scale, facts.colour) == ((127.5,), (127.5,), "RGB")
    assert facts.inputs[0].quantisation == Quantisation(1 / 128, 127)
    path, draft = write_draft(model)
    assert draft.lacking == ()
    card = load_card(path)
    assert card.document.inputs[0].mean is None, "uint8 pixels go in as they are"
    assert card.variants[0].backends == ("litert",), "OpenVINO does not know the op"
    assert on_every_backend(card)["litert"] == [
        {"box": [0.0, 0.0, 100.0, 50.0], "score": 0.9, "label_id": 1, "label": "bicycle",
         "track_id": None},
        {"box": [100.0, 50.0, 200.0, 100.0], "score": 0.8, "label_id": 0, "label": "person",
         "track_id": None},
    ]  # fmt: skip


def test_a_card_for_the_post_processing_op_may_leave_the_outputs_to_the_file(
    tmp_path: Path, on_every_backend: Backends, tflite_detector: Make
) -> None:
    tflite_detector(tmp_path / "m.tflite", prefix="out")
    (tmp_path / "card.toml").write_text(
        'schema = 1\nname = "m"\ntask = "detect"\nlabels = { 1 = "person", 2 = "bicycle" }\n'
        '[[variants]]\nfile = "m.tflite"\nbackend = "litert"\n'
        '[[inputs]]\nshape = [1, 32, 64, 3]\ndtype = "uint8"\n'
        '[decode]\nkind = "tflite-postprocess"\nclass_offset = 1\n'
    )
    items = on_every_backend(load_card(tmp_path / "card.toml"))["litert"]
    assert [(i["label_id"], i["label"]) for i in items] == [(2, "bicycle"), (1, "person")]


@pytest.mark.parametrize(
    ("labels", "fits"),
    [
        ('["person", "bicycle"]', True),
        ('["background", "person", "bicycle"]', True),
        ('["person"]', False),
        ('["a", "b", "c", "d"]', False),
        ("{ 1 = 'bicycle' }", True),
        ("{ 17 = 'cat' }", False),
        ('["background", "person", "bicycle"]#class_offset = 1', True),
    ],
)
def test_labels_are_held_against_the_ops_classes(
    tmp_path: Path, tflite_detector: Make, labels: str, fits: bool
) -> None:
    labels, _, decode = labels.partition("#")
    tflite_detector(tmp_path / "m.tflite")
    (tmp_path / "card.toml").write_text(
        f'schema = 1\nname = "m"\ntask = "detect"\nlabels = {labels}\n'
        '[[variants]]\nfile = "m.tflite"\nbackend = "litert"\n'
        '[[inputs]]\nshape = [1, 32, 64, 3]\ndtype = "uint8"\n'
        f'[decode]\nkind = "tflite-postprocess"\n{decode}\n'
    )
    card = load_card(tmp_path / "card.toml")
    if fits:
        Codec(card, card.variants[0])
    else:
        with pytest.raises(CardError, match="but the model has 3 classes"):
            Codec(card, card.variants[0])


def test_an_ir_says_what_model_api_wrote_into_it(
    tmp_path: Path, on_every_backend: Backends
) -> None:
    model = ir_of_detections(tmp_path / "det.xml")
    facts = read_facts(model)
    assert facts.inputs[0].shape == (1, 3, 32, 64)
    assert facts.inputs[0].dtype == "float32"
    assert facts.outputs[0].shape == (1, 1, 2, 7)
    assert {facts.outputs[0].name, *facts.outputs[0].aliases} == {"detection_out", "alias_of_it"}
    assert dict(facts.labels or {}) == {0: "background", 1: "hard hat"}
    path, draft = write_draft(model)
    assert draft.lacking == ()
    card = load_card(path)
    spec = card.document.inputs[0]
    assert (spec.colour, spec.resize, spec.scale) == ("RGB", "letterbox", 128)
    items = on_every_backend(card)["openvino"]
    assert [(i["label"], i["box"]) for i in items] == [("hard hat", [50.0, 25.0, 150.0, 50.0])]


def test_an_ir_without_rt_info_is_a_draft_without_labels(tmp_path: Path) -> None:
    draft = draft_card(ir_of_detections(tmp_path / "det.xml", info=False))
    assert [part.split()[0] for part in draft.lacking] == ["labels"]
    assert 'colour = "BGR"' in draft.text


def test_a_model_that_does_not_say_enough_gets_a_draft_to_complete(
    tmp_path: Path, onnx_of_constants: Make
) -> None:
    out = {"a": np.zeros((1, 7, 4)), "b": np.zeros((1, 7, 2))}
    model = onnx_of_constants(tmp_path / "m.onnx", out, [1, 3, 32, 32])
    path, draft = write_draft(model)
    assert any(part.startswith("decode.kind") for part in draft.lacking)
    assert "'a' [1, 7, 4]" in draft.lacking[0]
    with pytest.raises(CardError, match=r"decode\.kind"):
        load_card(path)
    with pytest.raises(CardError, match="has a card already"):
        write_draft(model)


CARD = """
schema = 1
name = "m"
task = "detect"
labels_file = "labels.txt"
[[variants]]
file = "m.onnx"
backend = ["onnxruntime", "openvino"]
[[inputs]]
name = "image"
shape = [1, 3, 64, 64]
scale = 255
[outputs]
predictions = "output0"
[decode]
kind = "yolo-v8"
"""


@pytest.fixture
def yolo(tmp_path: Path, ultralytics_onnx: Make) -> Callable[..., ModelCard]:
    ultralytics_onnx(tmp_path / "m.onnx")

    def make(labels: list[str] = COCO, change: tuple[str, str] = ("", "")) -> ModelCard:
        (tmp_path / "labels.txt").write_text("\n".join(labels))
        assert change[0] in CARD
        (tmp_path / "card.toml").write_text(CARD.replace(*change) if change[0] else CARD)
        return load_card(tmp_path / "card.toml")

    return make


def test_a_card_that_agrees_with_its_file_has_no_conflicts(yolo: Callable[..., ModelCard]) -> None:
    card = yolo()
    agreement = compare(card, card.variants[0], card.facts_of(card.variants[0]))
    assert agreement.mistakes == ()
    assert agreement.conflicts == ()


def test_a_label_file_of_the_wrong_length_is_found_before_anything_runs(
    yolo: Callable[..., ModelCard],
) -> None:
    card = yolo(COCO[:-1])
    with pytest.raises(CardError, match=r"labels\.txt has 79 names, but the model has 80 classes"):
        Codec(card, card.variants[0])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("output0", "output1", "output1' is not in the file, it has 'output0'"),
        ('"image"', '"images"', "images' is not in the file"),
        ("scale = 255", 'dtype = "uint8"', "the file's is float32"),
    ],
)
def test_what_cannot_work_is_an_error_of_the_card(
    yolo: Callable[..., ModelCard], old: str, new: str, expected: str
) -> None:
    card = yolo(change=(old, new))
    with pytest.raises(CardError, match=expected):
        Codec(card, card.variants[0])


def test_where_card_and_file_differ_the_card_wins_and_it_is_said(
    yolo: Callable[..., ModelCard], caplog: pytest.LogCaptureFixture
) -> None:
    card = yolo(["other", *COCO[1:]], change=("64, 64", "32, 32"))
    Codec(card, card.variants[0])
    assert "inputs.shape = [1, 3, 32, 32]; the file says [1, 3, 64, 64]" in caplog.text
    assert "0 is 'other' on the card and 'thing 0' in the file" in caplog.text


def test_labels_that_the_card_leaves_out_are_the_files(yolo: Callable[..., ModelCard]) -> None:
    said = yolo()
    silent = yolo(change=('labels_file = "labels.txt"\n', ""))
    assert silent.labels == said.labels
    digest = silent.digest
    silent.file_of(silent.variants[0]).rename(silent.directory / "elsewhere.onnx")
    again = load_card(silent.path)
    assert again.labels == {}
    (silent.directory / "elsewhere.onnx").rename(silent.file_of(silent.variants[0]))
    assert again.digest == digest, "where the file is does not change what the card means"


def test_an_input_without_a_name_takes_the_files_only_one(
    yolo: Callable[..., ModelCard], on_every_backend: Backends
) -> None:
    card = yolo(change=('name = "image"\n', ""))
    for items in on_every_backend(card).values():
        assert [i["label"] for i in items] == ["thing 17"]


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".xml"])
def test_damaged_files_are_named_errors_and_never_crash(
    tmp_path: Path, suffix: str, ultralytics_onnx: Make, tflite_detector: Make
) -> None:
    makers = {
        ".onnx": ultralytics_onnx,
        ".xml": ir_of_detections,
        ".tflite": lambda p: tflite_detector(p, labels="a\nb\n"),
    }
    whole = makers[suffix](tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"damaged{suffix}"
    rng = random.Random(5)
    refused = anonymous = 0
    for i in range(300):
        data = bytearray(whole)
        if i % 2:
            del data[rng.randrange(len(data)) :]
        else:
            for _ in range(rng.randrange(1, 30)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            read_facts(path)
        except ModelInvalid as error:
            refused += 1
            anonymous += str(path) not in str(error)
    assert refused > 60
    assert anonymous == 0, "errors that do not name the file"


def test_an_ir_without_all_of_its_weights_is_a_named_error(tmp_path: Path) -> None:
    model = ir_of_detections(tmp_path / "det.xml")
    weights = tmp_path / "det.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelInvalid, match=r"det\.xml: det\.bin is truncated"):
        read_facts(model)
    weights.unlink()
    with pytest.raises(ModelInvalid, match=r"det\.xml: its weights are missing"):
        read_facts(model)


def test_a_frozen_graph_is_held_to_be_whole(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    node = b"\x0a\x08\x0a\x01x\x12\x03Add"  # node { name: "x" op: "Add" }
    path.write_bytes(2 * node)
    assert read_facts(path).format == "pb"
    path.write_bytes((2 * node)[:-1])
    with pytest.raises(ModelInvalid, match=r"graph\.pb: truncated"):
        read_facts(path)
    path.write_bytes(b"\x18\x01")
    with pytest.raises(ModelInvalid, match="no graph"):
        read_facts(path)


def test_xml_entities_are_refused_before_they_grow(tmp_path: Path) -> None:
    path = tmp_path / "m.xml"
    path.write_text('<!DOCTYPE net [<!ENTITY a "b">]><net><layers/></net>')
    with pytest.raises(ModelInvalid, match="document type"):
        read_facts(path)


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite", "m.xml"])
def test_an_empty_or_missing_file_is_a_named_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelInvalid, match=name):
        read_facts(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelInvalid, match="empty"):
        read_facts(tmp_path / name)


def test_a_truncated_model_is_refused_when_it_is_added(
    yolo: Callable[..., ModelCard], tmp_path: Path
) -> None:
    card = yolo()
    model = tmp_path / "m.onnx"
    model.write_bytes(model.read_bytes()[:-500])
    with pytest.raises(EdgeError, match=r"m\.onnx"):
        ModelRegistry(tmp_path / "cache").add(card.path)


def test_a_file_of_no_known_kind_gets_no_draft(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"x")
    with pytest.raises(ModelInvalid, match="neither a card"):
        draft_card(tmp_path / "m.pt")
