"""Outputs become boxes as the papers and the runtimes' own operators say.

Each decoder is held against a plain reading of its format: loops and scalars, no vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from edgesdk.errors import CardError, ModelInvalid
from edgesdk.models import Codec, ModelCard
from edgesdk.models.decoding.anchors import make_anchors
from edgesdk.models.decoding.candidates import Candidates, suppress
from edgesdk.models.schema import Anchors
from edgesdk.values import Classification, Detections, Embedding, RawOutputs

Make = Callable[..., ModelCard]
FRAME = np.zeros((200, 400, 3), np.uint8)  # twice and four times the input of 100 x 100
RNG = np.random.default_rng(3)


def decode(card: ModelCard, outputs: Mapping[str, Any], n: int = 1, **keys: Any) -> list[Any]:
    codec = Codec(card, card.variants[0])
    _, geometries = codec.encode([(FRAME, "BGR", None)] * n)
    arrays = {
        k: np.asarray(v, np.float32) if isinstance(v, list) else v for k, v in outputs.items()
    }
    return codec.decode(arrays, geometries, **keys)


def rows(found: Detections) -> list[tuple[list[float], float, int, str]]:
    return [
        ([round(float(v), 2) for v in box], round(float(score), 3), int(label), name)
        for box, score, label, name in zip(
            found.boxes, found.scores, found.label_ids, found.labels, strict=True
        )
    ]


def test_ssd_with_its_own_nms(detector_card: Make) -> None:
    card = detector_card('kind = "ssd-nms"\nscore = 0.5', labels='labels = { 3 = "car" }')
    outputs = {
        "detection_boxes": [[[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1], [0, 0, 1, 1], [0.1] * 4]],
        "detection_classes": [[3, 8, 3, 3]],
        "detection_scores": [[0.75, 0.5, 0.25, 0.9]],
        "num_detections": [3],
    }
    (found,) = decode(card, outputs)
    assert rows(found) == [
        ([80.0, 20.0, 240.0, 100.0], 0.75, 3, "car"),
        ([0.0, 0.0, 400.0, 200.0], 0.5, 8, "8"),
    ]
    assert found.boxes.dtype == np.float32
    assert found.label_ids.dtype == np.int32


def test_a_threshold_of_the_application_takes_the_place_of_the_cards(detector_card: Make) -> None:
    card = detector_card('kind = "ssd-nms"\nscore = 0.5')
    outputs = {
        "boxes": [[[0, 0, 1, 1]] * 3],
        "classes": [[1, 1, 1]],
        "scores": [[0.9, 0.45, 0.2]],
    }
    assert [len(decode(card, outputs, score=s)[0]) for s in (None, 0.4, 0.1, 0.95)] == [1, 2, 3, 0]


def test_boxes_may_be_xyxy_in_pixels_of_the_input_without_a_batch(detector_card: Make) -> None:
    card = detector_card('kind = "ssd-nms"\nbox_order = "xyxy"\nnormalised = false')
    outputs = {
        "boxes": [[10, 20, 30, 40]],
        "labels_class": np.array([2], np.int64),
        "scores": [0.8],
    }
    assert rows(decode(card, outputs)[0]) == [([40.0, 40.0, 120.0, 80.0], 0.8, 2, "2")]


def test_the_tflite_op_with_an_offset_and_classes_to_ignore(detector_card: Make) -> None:
    card = detector_card(
        'kind = "tflite-postprocess"\nclass_offset = 1\nignore = [2]',
        labels='labels = ["background", "person", "bicycle"]',
        outputs='boxes = "P"\nclasses = "P:1"\nscores = "P:2"\ncount = "P:3"',
    )
    outputs = {
        "P:2": [[0.9, 0.8, 0.7]],
        "P:3": [2],
        "P": [[[0.25, 0.5, 0.75, 1.0], [0, 0, 0.5, 0.5], [0, 0, 1, 1]]],
        "P:1": [[0, 1, 0]],
    }
    assert rows(decode(card, outputs)[0]) == [([200.0, 50.0, 400.0, 150.0], 0.9, 1, "person")]


def test_detection_output_ends_at_a_negative_image_and_knows_its_batch(detector_card: Make) -> None:
    card = detector_card('kind = "openvino-detection-output"', labels='labels = ["bg", "face"]')
    outputs = {
        "detection_out": np.array(
            [
                [0, 1, 0.9, 0.1, 0.2, 0.3, 0.4],
                [1, 1, 0.8, 0.5, 0.5, 1.5, 0.9],
                [0, 1, 0.1, 0.0, 0.0, 1.0, 1.0],
                [-1, 0, 0, 0, 0, 0, 0],
                [0, 1, 0.99, 0, 0, 1, 1],
            ],
            np.float32,
        )[None, None]
    }
    first, second = decode(card, outputs, n=2)
    assert rows(first) == [([40.0, 40.0, 120.0, 80.0], 0.9, 1, "face")]
    assert rows(second) == [([200.0, 100.0, 400.0, 180.0], 0.8, 1, "face")]


def test_the_anchors_of_the_tensorflow_detection_api_number_1917() -> None:
    spec = Anchors(strides=(16, 32, 64, 128, 256, 512), reduce_lowest=True)
    anchors = make_anchors(spec, 300, 300)
    assert anchors.shape == (1917, 4)
    half = 0.5 / 19
    root2 = math.sqrt(2)
    np.testing.assert_allclose(
        anchors[:3],
        [
            [half, half, 0.1, 0.1],
            [half, half, 0.2 * root2, 0.2 / root2],
            [half, half, 0.2 / root2, 0.2 * root2],
        ],
        rtol=1e-5,
    )
    np.testing.assert_allclose(anchors[3, :2], [1.5 / 19, half], rtol=1e-5)  # columns run first
    second = anchors[19 * 19 * 3 :][:6]
    widths = [0.35 * math.sqrt(aspect) for aspect in (1, 2, 0.5, 3, 0.3333)]
    np.testing.assert_allclose(second[:, 2], [*widths, math.sqrt(0.35 * 0.5)], rtol=1e-5)
    np.testing.assert_allclose(anchors[-1, 2:], [math.sqrt(0.95), math.sqrt(0.95)], rtol=1e-5)


def test_blazefaces_anchors_share_the_cells_of_equal_strides() -> None:
    spec = Anchors(strides=(8, 16, 16, 16), aspects=(1.0,), fixed=True)
    anchors = make_anchors(spec, 128, 128)
    assert anchors.shape == (896, 4)
    np.testing.assert_allclose(anchors[:2], [[0.5 / 16, 0.5 / 16, 1, 1]] * 2)
    np.testing.assert_allclose(anchors[512:518, 0], [0.5 / 8] * 6)
    np.testing.assert_allclose(anchors[518, 0], 1.5 / 8)


ANCHORS = (
    "strides = [50, 100]\nscales = [0.4, 0.8]\naspects = [1.0, 2.0]\ninterpolated_aspect = 0.0"
)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "none"])
@pytest.mark.parametrize(("coding", "order"), [("yxhw", (1, 0, 3, 2)), ("xywh", (0, 1, 2, 3))])
def test_ssd_against_anchors(
    detector_card: Make, activation: str, coding: str, order: tuple[int, ...]
) -> None:
    card = detector_card(
        f'kind = "ssd-anchors"\nscore = 0.4\niou = 1.0\nactivation = "{activation}"\n'
        f'box_coding = "{coding}"\nvariances = [10, 10, 5, 5]\nbackground = 0\n'
        f"max_detections = 1000\n[decode.anchors]\n{ANCHORS}",
    )
    anchors = make_anchors(
        Anchors(strides=(50, 100), scales=(0.4, 0.8), aspects=(1.0, 2.0), interpolated_aspect=0.0),
        100,
        100,
    )
    n = len(anchors)
    assert n == 2 * 2 * 2 + 2
    codes = RNG.normal(0, 2, (1, n, 4)).astype(np.float32)
    raw = RNG.normal(0, 2, (1, n, 3)).astype(np.float32)
    if activation == "none":
        raw = np.abs(np.tanh(raw))
    (found,) = decode(card, {"box_encodings": codes, "class_predictions_score": raw})

    expected = []
    for i in range(n):
        powers = [math.exp(v) for v in raw[0, i]]
        scores = {
            "sigmoid": [1 / (1 + math.exp(-v)) for v in raw[0, i]],
            "softmax": [p / sum(powers) for p in powers],
            "none": [float(v) for v in raw[0, i]],
        }[activation]
        best = max((1, 2), key=lambda c: scores[c])
        if scores[best] < 0.4:
            continue
        tx, ty, tw, th = (float(codes[0, i, k]) for k in order)
        ax, ay, aw, ah = (float(v) for v in anchors[i])
        cx, cy = tx / 10 * aw + ax, ty / 10 * ah + ay
        w, h = math.exp(tw / 5) * aw, math.exp(th / 5) * ah
        box = [(cx - w / 2) * 400, (cy - h / 2) * 200, (cx + w / 2) * 400, (cy + h / 2) * 200]
        box = [min(max(v, 0), 400 if k % 2 == 0 else 200) for k, v in enumerate(box)]
        if box[2] > box[0] and box[3] > box[1]:
            expected.append((scores[best], best, box))
    expected.sort(key=lambda e: -e[0])
    assert len(expected) > 3
    np.testing.assert_allclose(found.scores, [e[0] for e in expected], rtol=1e-4)
    assert found.label_ids.tolist() == [e[1] for e in expected]
    np.testing.assert_allclose(found.boxes, [e[2] for e in expected], atol=0.02)


def test_caffes_variances_and_tensorflows_mean_the_same(detector_card: Make) -> None:
    outputs = {
        "boxes": RNG.normal(0, 1, (1, 10, 4)).astype(np.float32),
        "scores": RNG.normal(0, 3, (1, 10, 2)).astype(np.float32),
    }
    found = []
    for variances in ("[10, 10, 5, 5]", "[0.1, 0.1, 0.2, 0.2]"):
        text = f'kind = "ssd-anchors"\nvariances = {variances}\n[decode.anchors]\n{ANCHORS}'
        found.append(decode(detector_card(text), outputs)[0])
    np.testing.assert_allclose(found[0].boxes, found[1].boxes, atol=1e-3)


def test_anchors_from_a_file(detector_card: Make, tmp_path: Any) -> None:
    (tmp_path / "a.txt").write_text("0.5 0.25 0.2 0.1\n0.5 0.75 0.2 0.1\n")
    card = detector_card('kind = "ssd-anchors"\nanchors_file = "a.txt"\nscore = 0.6')
    outputs = {"boxes": np.zeros((1, 2, 4), np.float32), "scores": np.array([[[9.0], [-9.0]]])}
    (found,) = decode(card, outputs)
    assert rows(found)[0][0] == [80.0, 80.0, 120.0, 120.0]
    (tmp_path / "a.txt").write_text("0.5 0.25 x 0.1\n")
    with pytest.raises(CardError, match="anchors_file"):
        decode(card, outputs)


def test_anchors_that_do_not_fit_the_model_are_an_error(detector_card: Make) -> None:
    card = detector_card(f'kind = "ssd-anchors"\n[decode.anchors]\n{ANCHORS}')
    outputs = {"boxes": np.zeros((1, 1917, 4), np.float32), "scores": np.zeros((1, 1917, 91))}
    with pytest.raises(ModelInvalid, match="10 anchors"):
        decode(card, outputs)


def yolo_v8(boxes: list[tuple[list[float], dict[int, float]]], n: int, classes: int) -> np.ndarray:
    """``[1, 4 + classes, n]`` with the given centre boxes and scores, spread over the input."""
    out = np.zeros((1, 4 + classes, n), np.float32)
    out[0, 0] = np.linspace(0, 100, n)
    out[0, 1] = 50
    for i, (box, scores) in enumerate(boxes):
        out[0, :4, 7 * i] = box
        for c, s in scores.items():
            out[0, 4 + c, 7 * i] = s
    return out


YOLO = [
    ([50.0, 50.0, 20.0, 40.0], {0: 0.9, 2: 0.3}),
    ([51.0, 50.0, 20.0, 40.0], {0: 0.8}),
    ([50.0, 51.0, 20.0, 40.0], {1: 0.7}),
    ([90.0, 50.0, 40.0, 10.0], {2: 0.6}),
    ([10.0, 10.0, 5.0, 5.0], {2: 0.2}),
]
EXPECTED = [
    ([160.0, 60.0, 240.0, 140.0], 0.9, 0, "a"),
    ([160.0, 62.0, 240.0, 142.0], 0.7, 1, "b"),
    ([280.0, 90.0, 400.0, 110.0], 0.6, 2, "c"),
]
LABELS = 'labels = ["a", "b", "c"]'


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_yolo_v8_in_either_layout_and_unit(
    detector_card: Make, transposed: bool, unit: float
) -> None:
    card = detector_card('kind = "yolo-v8"', labels=LABELS)
    out = yolo_v8(YOLO, 84, 3)
    out[:, :4] *= unit
    outputs = {"output0": out.transpose(0, 2, 1).copy() if transposed else out}
    assert rows(decode(card, outputs)[0]) == EXPECTED


def test_agnostic_suppression_lets_one_class_hide_another(detector_card: Make) -> None:
    card = detector_card('kind = "yolo-v8"\nagnostic = true', labels=LABELS)
    (found,) = decode(card, {"output0": yolo_v8(YOLO, 84, 3)})
    assert [r[3] for r in rows(found)] == ["a", "c"]
    (found,) = decode(card, {"output0": yolo_v8(YOLO, 84, 3)}, iou=0.99)
    assert len(found) == 4


def test_yolo_v5_multiplies_objectness_and_class(detector_card: Make) -> None:
    card = detector_card('kind = "yolo-v5"', labels=LABELS)
    v8 = yolo_v8(YOLO, 84, 3)[0].T
    v5 = np.concatenate([v8[:, :4], np.full((84, 1), 0.8, np.float32), v8[:, 4:] / 0.8], 1)
    assert rows(decode(card, {"output": v5[None]})[0]) == EXPECTED


def test_yolox_decodes_against_its_grid(detector_card: Make) -> None:
    card = detector_card('kind = "yolox"\nscore = 0.25', labels=LABELS, width=64, height=32)
    n = 8 * 4 + 4 * 2 + 2 * 1
    out = np.zeros((1, n, 8), np.float32)
    cell = 8 * 4 + 1 * 4 + 2  # stride 16, row 1, column 2
    out[0, cell] = [0.5, -0.5, math.log(2), math.log(0.5), 0.9, 0.1, 0.8, 0.2]
    (found,) = decode(card, {"output": out})
    # centre (2.5, 0.5) x 16, size (32, 8) of a 64 x 32 input
    box = [(40 - 16) / 64 * 400, (8 - 4) / 32 * 200, (40 + 16) / 64 * 400, (8 + 4) / 32 * 200]
    assert rows(found) == [([round(v, 2) for v in box], 0.72, 1, "b")]
    with pytest.raises(ModelInvalid, match="42 boxes"):
        decode(card, {"output": out[:, :-1]})


def test_yolox_letterboxes_from_the_top_left(detector_card: Make) -> None:
    card = detector_card('kind = "yolox"', resize="letterbox")
    _, (geometry,) = Codec(card, card.variants[0]).encode([(FRAME, "BGR", None)])
    assert (geometry.origin_x, geometry.origin_y) == (0, 0)


def test_nms_free_yolo(detector_card: Make) -> None:
    card = detector_card('kind = "yolo-nmsfree"', labels=LABELS)
    out = np.zeros((1, 300, 6), np.float32)
    out[0, 0] = [40, 30, 60, 70, 0.9, 0]
    out[0, 1] = [41, 30, 61, 70, 0.8, 0]  # no suppression: the model has done it
    assert rows(decode(card, {"output0": out})[0]) == [
        ([160.0, 60.0, 240.0, 140.0], 0.9, 0, "a"),
        ([164.0, 60.0, 244.0, 140.0], 0.8, 0, "a"),
    ]
    assert len(decode(card, {"output0": np.zeros((1, 300, 6), np.float32)})[0]) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_a_detection(detector_card: Make, bad: float) -> None:
    card = detector_card('kind = "yolo-v8"', labels=LABELS)
    out = yolo_v8(YOLO, 84, 3)
    out[0, 2, 0] = bad
    out[0, 4, 7] = np.nan
    (found,) = decode(card, {"output0": out})
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.scores).all()


def test_quantised_outputs_are_made_real_first(detector_card: Make) -> None:
    card = detector_card(
        'kind = "yolo-v8"',
        labels=LABELS,
        outputs="predictions = { name = 'o', quantisation = { scale = 0.5, zero_point = -100 } }",
    )
    out = yolo_v8([([50.0, 50.0, 20.0, 40.0], {1: 1.0})], 84, 3)
    quantised = np.round(out / 0.5 - 100).astype(np.int8)
    assert rows(decode(card, {"o": quantised})[0])[0] == (
        [160.0, 60.0, 240.0, 140.0], 1.0, 1, "b",
    )  # fmt: skip


def test_suppression_agrees_with_a_plain_loop() -> None:
    n = 300
    corners = RNG.uniform(0, 80, (n, 2))
    boxes = np.concatenate([corners, corners + RNG.uniform(5, 30, (n, 2))], 1).astype(np.float32)
    found = Candidates(
        boxes, RNG.uniform(0, 1, n).astype(np.float32), RNG.integers(0, 3, n).astype(np.int32)
    )
    for agnostic in (False, True):
        kept = suppress(found, iou=0.4, agnostic=agnostic, keep=1000)
        expected: list[int] = []
        for i in np.argsort(-found.scores):
            for k in expected:
                w = min(boxes[i][2], boxes[k][2]) - max(boxes[i][0], boxes[k][0])
                h = min(boxes[i][3], boxes[k][3]) - max(boxes[i][1], boxes[k][1])
                shared = max(w, 0) * max(h, 0)
                union = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (boxes[i], boxes[k])) - shared
                same = agnostic or found.classes[i] == found.classes[k]
                if same and shared / union > 0.4:
                    break
            else:
                expected.append(int(i))
        np.testing.assert_array_equal(kept.scores, found.scores[expected])
    assert len(suppress(found, iou=0.4, agnostic=False, keep=7).scores) == 7


@pytest.mark.parametrize(
    ("decode_text", "raw", "expected"),
    [
        ('activation = "auto"', [0.1, 0.7, 0.2], [(1, 0.7), (2, 0.2)]),
        ('activation = "auto"', [0.0, 2.0, 1.0], [(1, 0.6652), (2, 0.2447)]),
        ('activation = "auto"', [0.9, 0.8, 0.0], [(0, 0.9), (1, 0.8)]),
        ('activation = "softmax"', [0.1, 0.7, 0.2], [(1, 0.4640), (2, 0.2814)]),
        ('activation = "sigmoid"', [-1.0, 0.0, 1.0], [(2, 0.7311), (1, 0.5)]),
        ('activation = "none"\nclass_offset = 5', [3.0, 1.0, 2.0], [(5, 3.0), (7, 2.0)]),
    ],
)
def test_classification(
    detector_card: Make, decode_text: str, raw: list[float], expected: list[tuple[int, float]]
) -> None:
    card = detector_card(f'kind = "classify"\ntop = 2\n{decode_text}', task="classify")
    for shape in ((1, 3), (3,), (1, 3, 1, 1)):
        (value,) = decode(card, {"probabilities": np.array(raw, np.float32).reshape(shape)})
        assert isinstance(value, Classification)
        assert list(value.label_ids) == [e[0] for e in expected]
        np.testing.assert_allclose(value.scores, [e[1] for e in expected], atol=1e-3)


def test_embeddings_have_length_one_unless_told_otherwise(detector_card: Make) -> None:
    outputs = {"features": np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)}
    first, second = decode(detector_card('kind = "embed"', task="embed"), outputs, n=2)
    assert isinstance(first, Embedding)
    np.testing.assert_allclose(first.vector, [0.6, 0.8])
    assert not second.vector.any()
    card = detector_card('kind = "embed"\nnormalise = false', task="embed")
    assert decode(card, outputs, n=2)[0].vector.tolist() == [3.0, 4.0]


def test_raw_outputs_are_split_by_image(detector_card: Make) -> None:
    outputs = {"a": np.arange(6.0).reshape(2, 3), "constant": np.ones(1)}
    first, second = decode(detector_card('kind = "raw"', task="raw"), outputs, n=2)
    assert isinstance(first, RawOutputs)
    assert second.arrays["a"].tolist() == [[3, 4, 5]]
    assert second.arrays["constant"].tolist() == [1]


def test_a_batch_is_decoded_image_by_image(detector_card: Make) -> None:
    card = detector_card('kind = "yolo-v8"', labels=LABELS)
    empty = yolo_v8([], 84, 3)
    outputs = {"output0": np.concatenate([empty, yolo_v8(YOLO, 84, 3), empty])}
    assert [len(d) for d in decode(card, outputs, n=3)] == [0, 3, 0]
    # rows that only fill the batch are not decoded
    assert [len(d) for d in decode(card, outputs, n=2)] == [0, 3]


def test_outputs_are_bound_by_name_whatever_their_order(detector_card: Make) -> None:
    card = detector_card('kind = "ssd-nms"', outputs='boxes = "b"\nscores = "s"\nclasses = "c"')
    outputs = {"c:0": [[1.0]], "s:0": [[0.9]], "b:0": [[[0.0, 0.0, 1.0, 1.0]]]}
    expected = rows(decode(card, outputs)[0])
    assert expected == rows(decode(card, dict(reversed(outputs.items())))[0])
    with pytest.raises(ModelInvalid, match=r"scores = 's'.*'t' \[1, 1\]"):
        decode(card, {"b": [[[0.0] * 4]], "c": [[1.0]], "t": [[0.5]]})


def test_roles_left_out_are_inferred_once_and_reported(detector_card: Make) -> None:
    card = detector_card('kind = "ssd-nms"')
    codec = Codec(card, card.variants[0])
    binding = codec.bind(
        {
            "x": np.zeros((1, 10, 4), np.float32),
            "y": np.zeros((1, 10), np.float32),
            "z": np.zeros((1, 10), np.int64),
            "n": np.zeros((1,), np.float32),
        }
    )
    assert binding.inferred == {"boxes": "x", "scores": "y", "classes": "z", "count": "n"}


def test_roles_that_cannot_be_told_apart_are_not_guessed(detector_card: Make) -> None:
    card = detector_card('kind = "ssd-nms"')
    outputs = {
        "p": np.zeros((1, 10, 4), np.float32),
        "q": np.zeros((1, 10), np.float32),
        "r": np.zeros((1, 10), np.float32),
    }
    with pytest.raises(ModelInvalid, match=r"name it under \[outputs\]"):
        decode(card, outputs)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("yolo-v8", (1, 84, 2100)),
        ("yolo-v5", (1, 2100, 85)),
        ("yolox", (1, 212, 85)),
    ],
)
def test_labels_of_another_model_are_an_error_of_the_card(
    detector_card: Make, kind: str, shape: tuple[int, ...]
) -> None:
    card = detector_card(f'kind = "{kind}"', labels=LABELS)
    with pytest.raises(CardError, match="3 names, but the model has 80 classes"):
        decode(card, {"output0": np.zeros(shape, np.float32)})


def test_a_classifiers_labels_have_to_fit_too(detector_card: Make) -> None:
    card = detector_card('kind = "classify"', labels=LABELS, task="classify")
    with pytest.raises(CardError, match="3 names, but the model has 1000 classes"):
        decode(card, {"scores": np.zeros((1, 1000), np.float32)})


class Shaped:
    """What a session tells of an output before anything ran."""

    dtype = "float32"

    def __init__(self, *shape: int) -> None:
        self.shape = shape


@pytest.mark.parametrize(
    ("decode", "shapes"),
    [
        ('kind = "ssd-nms"', {"boxes": (1, 100, 7), "scores": (1, 100), "classes": (1, 100)}),
        ('kind = "openvino-detection-output"', {"detections": (1, 100, 4)}),
        ('kind = "yolo-nmsfree"', {"predictions": (1, 84, 8400)}),
        ('kind = "yolox"\nstrides = [20]', {"predictions": (1, 26, 8)}),
        (
            'kind = "ssd-anchors"\n[decode.anchors]\nstrides = [50]',
            {"boxes": (1, 25, 4), "scores": (1, 25, 3)},
        ),
    ],
)
def test_outputs_that_the_card_does_not_fit_are_told_when_it_is_loaded(
    detector_card: Make, decode: str, shapes: dict[str, tuple[int, ...]]
) -> None:
    card = detector_card(decode, outputs="\n".join(f'{role} = "{role}"' for role in shapes))
    codec = Codec(card, card.variants[0])
    with pytest.raises(ModelInvalid, match=r"has shape \[.*\]; decoding .* expects"):
        codec.bind({role: Shaped(*shape) for role, shape in shapes.items()})
    unknown = {role: Shaped(*(-1 for _ in shape)) for role, shape in shapes.items()}
    assert set(codec.bind(unknown).names) == set(shapes)
