"""What a whole node finds in a video is what a bare loop over the runtime finds in it.

One detector a format, real runtimes, a real file with known boxes. The bare loops decode the video
with PyAV, and prepare and read tensors as the family's own documentation says; nothing of edgesdk
takes part in them (bare_loops.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import edgesdk as edge
from edgesdk.errors import CardError
from edgesdk.models import Codec, load_card
from edgesdk.runtime import Node
from tests.models import bare_loops, blobs
from tests.models.bare_loops import HEIGHT, SCORE, WIDTH, Bare, Found, Image, iou

FRAMES = 24
COLOURS = ((40, 40, 230), (40, 230, 40), (230, 40, 40))  # BGR: classes 0, 1, 2


def scene(index: int) -> list[tuple[tuple[int, int, int, int], int, float]]:
    """Box, colour and strength of each square: they move, and the sixth comes and goes."""
    squares = []
    for i, side in enumerate((46, 52, 44, 66, 120, 48)):
        if i == 5 and index % 8 < 3:
            continue
        x = (23 + 61 * i + 7 * index * (1 if i % 2 else -1)) % (WIDTH - side)
        y = (11 + 37 * i + 3 * index) % (HEIGHT - side)
        squares.append(((x, y, x + side, y + side), i % 3, 1.0 - 0.11 * i))
    return squares


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "squares.mp4"
    noise = np.random.default_rng(5)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 4_000_000
        for index in range(FRAMES):
            image = noise.integers(30, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            for (x1, y1, x2, y2), colour, strength in reversed(scene(index)):
                image[y1:y2, x1:x2] = np.array(COLOURS[colour]) * strength
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))
    return path


def pictures(video: Path) -> Iterator[Image]:
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


@dataclass(frozen=True)
class Format:
    """A detector's file, the card that a user would write for it, and its bare loop.

    labels: label id of red, green and blue, as the card numbers them; bare_offset: what to add to
    the bare loop's class numbers for that.
    """

    file: str
    build: Callable[[Path], Path]
    bare: Callable[[Path], Bare]
    card: str
    labels: tuple[int, int, int] = blobs.COCO
    bare_offset: int = 0


COCO80 = "labels = [" + ", ".join(f'"class {i}"' for i in range(80)) + "]"
YOLO = COCO80 + '\n[[inputs]]\nname = "images"\nshape = [1, 3, 160, 160]\n{input}\n'
YOLO += '[outputs]\npredictions = "{output}"\n[decode]\nkind = "{kind}"\n'
RGB = 'scale = 255\nresize = "letterbox"'
TF = """
labels = {{ 1 = "class 1", 3 = "class 3", 8 = "class 8" }}
[[inputs]]
name = "images"
shape = [1, 160, 160, 3]
dtype = "uint8"
[outputs]
boxes = "detection_boxes"
scores = "detection_scores"
classes = "detection_classes"
count = "num_detections"
[decode]
kind = "ssd-nms"
""".format()
ZOO = """
labels = ["class 0", "class 1", "class 2", "class 3"]
[[inputs]]
shape = [1, 3, 160, 160]
colour = "BGR"
[outputs]
detections = "detection_out"
[decode]
kind = "openvino-detection-output"
max_detections = 200
"""
ANCHORS = """
labels = ["class 0", "class 1", "class 2", "class 3"]
[[inputs]]
name = "image"
shape = [1, 160, 160, 3]
scale = 255
[outputs]
boxes = "codes"
scores = "scores"
[decode]
kind = "ssd-anchors"
iou = 0.45
activation = "none"
background = 0
[decode.anchors]
strides = [8, 16, 32]
scales = [0.15, 0.2, 0.4]
aspects = [1.0]
interpolated_aspect = 0
"""
POST = """
labels = [{labels}]
[[inputs]]
shape = [1, 160, 160, 3]
scale = 255
[decode]
kind = "tflite-postprocess"
class_offset = {offset}
"""
FROM_1 = ", ".join(f'"class {i}"' for i in range(4))
FROM_0 = ", ".join(f'"class {i}"' for i in range(3))


def tflite(*, post_processing: bool) -> Callable[[Path], Path]:
    return lambda path: blobs.tflite_ssd(path, post_processing=post_processing)


def yolo(kind: str, values: str = RGB, output: str = "output0") -> str:
    return YOLO.format(kind=kind, input=values, output=output)


FORMATS = {
    "yolo-v8": Format("v8.onnx", blobs.yolo_v8, bare_loops.yolo_v8, yolo("yolo-v8")),
    "yolo-v5": Format("v5.onnx", blobs.yolo_v5, bare_loops.yolo_v5, yolo("yolo-v5")),
    "yolo-nmsfree": Format("v10.onnx", blobs.yolo_v10, bare_loops.yolo_v10, yolo("yolo-nmsfree")),
    "yolox": Format(
        "yolox.onnx",
        blobs.yolox,
        bare_loops.yolox,
        yolo("yolox", 'colour = "BGR"\nresize = "letterbox"', "output"),
    ),
    "tensorflow-ssd": Format(
        "ssd.onnx", blobs.tensorflow_ssd, bare_loops.tensorflow, TF, (1, 3, 8)
    ),
    "tensorflow-ssd-as-ir": Format(
        "ssd.xml", lambda p: blobs.tensorflow_ssd(p, ir=True), bare_loops.tensorflow, TF, (1, 3, 8)
    ),
    "detection-output": Format("zoo.xml", blobs.zoo_ssd, bare_loops.zoo, ZOO, (1, 2, 3)),
    "ssd-anchors": Format(
        "raw.tflite", tflite(post_processing=False), bare_loops.anchors, ANCHORS, (1, 2, 3)
    ),
    "tflite-postprocess-from-0": Format(
        "op.tflite",
        tflite(post_processing=True),
        bare_loops.post_processing,
        POST.format(labels=FROM_0, offset=0),
        (0, 1, 2),
    ),
    "tflite-postprocess-from-1": Format(
        "op1.tflite",
        tflite(post_processing=True),
        bare_loops.post_processing,
        POST.format(labels=FROM_1, offset=1),
        (1, 2, 3),
        bare_offset=1,
    ),
}
BACKENDS = {".onnx": "onnxruntime", ".xml": "openvino", ".tflite": "litert"}


def average_precision(found: list[Found], labels: tuple[int, int, int]) -> float:
    """Mean over classes of the area under the interpolated curve (VOC 2010), at IoU 0.5."""
    each = []
    for colour, label in enumerate(labels):
        truth = [[box for box, c, _ in scene(i) if c == colour] for i in range(FRAMES)]
        hits = []
        for score, i, box in sorted(
            ((s, i, b) for i, one in enumerate(found) for b, s, k in one if k == label),
            key=lambda f: -f[0],
        ):
            overlap, best = max(((iou(box, t), t) for t in truth[i]), default=(0.0, None))
            hits.append(overlap >= 0.5)
            if overlap >= 0.5:
                truth[i].remove(best)
            assert score >= SCORE
        total = sum(c == colour for i in range(FRAMES) for _, c, _ in scene(i))
        recall = np.cumsum(hits) / total
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        each.append(float(np.sum(np.diff(np.concatenate([[0.0], recall])) * envelope)))
    return float(np.mean(each))


@pytest.mark.parametrize("name", FORMATS)
def test_a_node_finds_what_a_bare_loop_finds(
    name: str, video: Path, tmp_path: Path, records: Callable[[Path], list[dict[str, Any]]]
) -> None:
    made = FORMATS[name]
    file = made.build(tmp_path / made.file)
    card = tmp_path / "card.toml"
    head = f'schema = 1\nname = "{name}"\ntask = "detect"\n'
    labels, _, rest = made.card.strip().partition("\n")
    variant = f'[[variants]]\nfile = "{file.name}"\nbackend = "{BACKENDS[file.suffix]}"\n'
    card.write_text(f"{head}{labels}\n{variant}{rest}")

    @edge.app(deadline="2s")
    def search(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.detect(str(card), score=SCORE)}

    out = tmp_path / "out.jsonl"
    with Node([search], {"camera": f"file:{video}?pace=fast"}, out=out) as node:
        assert node.wait(30)
    lines = records(out)
    assert [r["sequence"] for r in lines] == list(range(1, FRAMES + 1))
    assert {r["state"] for r in lines} == {"ok"}
    assert node.summary().inferences == {name: FRAMES}

    items = [r["outputs"]["found"]["items"] for r in lines]
    assert all(d["label"] == f"class {d['label_id']}" for one in items for d in one)
    ours = [[(tuple(d["box"]), d["score"], d["label_id"]) for d in one] for one in items]
    find = made.bare(file)
    theirs = [
        [(box, float(score), label + made.bare_offset) for box, score, label in find(image)]
        for image in pictures(video)
    ]
    expected = average_precision(theirs, made.labels)
    assert 0.2 < expected < 0.99  # neither blind nor trivial
    assert abs(average_precision(ours, made.labels) - expected) <= 0.02
    # Of two boxes with equal scores either may thin the other, by the last bit of a product.
    strangers = sum(unmatched(a, b) + unmatched(b, a) for a, b in zip(ours, theirs, strict=True))
    assert strangers <= 0.005 * sum(map(len, theirs))


def test_labels_of_another_model_are_told_where_only_shapes_say_how_many_there_are(
    tmp_path: Path,
) -> None:
    blobs.zoo_ssd(tmp_path / "zoo.xml")
    head = 'schema = 1\nname = "zoo"\ntask = "detect"\n'
    variant = '[[variants]]\nfile = "zoo.xml"\nbackend = "openvino"\n'
    labels, _, rest = ZOO.strip().partition("\n")
    for said, fits in ((labels, True), (COCO80, False), ('labels = ["one"]', False)):
        (tmp_path / "card.toml").write_text(f"{head}{said}\n{variant}{rest}\n")
        card = load_card(tmp_path / "card.toml")
        if fits:
            Codec(card, card.variants[0])
        else:
            with pytest.raises(CardError, match="but the model has 4 classes"):
                Codec(card, card.variants[0])


def unmatched(found: Found, among: Found) -> int:
    """How many have no twin: its label, its score, its box to a pixel."""
    return sum(
        not any(
            label == k and abs(score - s) < 0.002 and np.abs(np.subtract(box, b)).max() < 1.0
            for b, s, k in among
        )
        for box, score, label in found
    )
