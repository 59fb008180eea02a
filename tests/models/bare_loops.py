"""Bare loops over the runtimes, one a family of detectors: the peer of a node.

Written from each family's own documentation; nothing of edgesdk takes part. Each takes a picture
of the video (BGR) and gives what it finds there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.models import blobs
from tests.models.blobs import SIDE

WIDTH, HEIGHT = 320, 200  # of the video
SCORE = 0.05  # below the default of every card: a curve needs its low end

Image = NDArray[np.uint8]
Found = list[tuple[tuple[float, ...], float, int]]  # box in the frame, score, label id
Bare = Callable[[Image], Found]


def stretched(image: Image) -> Image:
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), (SIDE, SIDE))


def letterboxed(image: Image, *, corner: bool = False) -> tuple[Image, float, int, int]:
    """The padded picture (BGR), the ratio, and where in it the picture begins."""
    ratio = min(SIDE / HEIGHT, SIDE / WIDTH)
    width, height = round(WIDTH * ratio), round(HEIGHT * ratio)
    left, top = (0, 0) if corner else ((SIDE - width) // 2, (SIDE - height) // 2)
    padded = np.full((SIDE, SIDE, 3), 114, np.uint8)
    padded[top : top + height, left : left + width] = cv2.resize(image, (width, height))
    return padded, ratio, left, top


def planes(image: Image, divisor: float) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None]).astype(np.float32) / divisor


def clipped(box: Any) -> tuple[float, ...]:
    edges = (WIDTH, HEIGHT, WIDTH, HEIGHT)
    return tuple(float(min(max(v, 0), e)) for v, e in zip(box, edges, strict=True))


def iou(a: Any, b: Any) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(width * height / (sum(areas) - width * height))


def thinned(found: Found, limit: float) -> Found:
    kept: Found = []
    for box, score, label in sorted(found, key=lambda f: -f[1]):
        if all(label != k or iou(box, b) <= limit for b, _, k in kept):
            kept.append((box, score, label))
    return kept


def onnx(path: Path) -> Callable[[Any], list[Any]]:
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda tensor: session.run(None, {"images": tensor})


def openvino(path: Path) -> Callable[[Any], Any]:
    from openvino import Core

    compiled = Core().compile_model(path, "CPU")  # at the runtime's own default precision
    return lambda tensor: compiled(tensor)


def litert(path: Path) -> Callable[[Any], dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()

    def infer(tensor: Any) -> dict[str, Any]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
        interpreter.invoke()
        details = interpreter.get_output_details()
        return {d["name"]: interpreter.get_tensor(d["index"]) for d in details}

    return infer


def back(box: Any, ratio: float, left: int, top: int) -> tuple[float, ...]:
    return clipped((np.asarray(box) - (left, top, left, top)) / ratio)


def centred(x: float, y: float, w: float, h: float) -> tuple[float, ...]:
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def yolo_v8(path: Path) -> Bare:
    infer = onnx(path)

    def find(image: Image) -> Found:
        padded, *place = letterboxed(image)
        rows = infer(planes(padded[..., ::-1], 255))[0][0].T
        found = [(row, int(row[4:].argmax())) for row in rows if row[4:].max() >= SCORE]
        boxes = [(centred(*r[:4]), float(r[4 + k]), k) for r, k in found]
        return [(back(b, *place), s, k) for b, s, k in thinned(boxes, 0.45)]

    return find


def yolo_v5(path: Path) -> Bare:
    infer = onnx(path)

    def find(image: Image) -> Found:
        padded, *place = letterboxed(image)
        rows = infer(planes(padded[..., ::-1], 255))[0][0]
        found = [(r, int(r[5:].argmax())) for r in rows if r[4] * r[5:].max() >= SCORE]
        boxes = [(centred(*r[:4]), float(r[4] * r[5 + k]), k) for r, k in found]
        return [(back(b, *place), s, k) for b, s, k in thinned(boxes, 0.45)]

    return find


def yolo_v10(path: Path) -> Bare:
    infer = onnx(path)

    def find(image: Image) -> Found:
        padded, *place = letterboxed(image)
        rows = infer(planes(padded[..., ::-1], 255))[0][0]
        return [(back(r[:4], *place), r[4], int(r[5])) for r in rows if r[4] >= SCORE]

    return find


def yolox(path: Path) -> Bare:
    infer = onnx(path)

    def find(image: Image) -> Found:
        padded, *place = letterboxed(image, corner=True)
        rows = infer(planes(padded, 1))[0][0]
        found: Found = []
        i = 0
        for stride in (8, 16, 32):
            for y in range(SIDE // stride):
                for x in range(SIDE // stride):
                    row = rows[i]
                    i += 1
                    label = int(row[5:].argmax())
                    score = float(row[4] * row[5 + label])
                    if score >= SCORE:
                        middle = (row[0] + x) * stride, (row[1] + y) * stride
                        sides = np.exp(row[2]) * stride, np.exp(row[3]) * stride
                        found.append((centred(*middle, *sides), score, label))
        return [(back(b, *place), s, k) for b, s, k in thinned(found, 0.45)]

    return find


def yxyx(box: Any) -> tuple[float, ...]:
    return clipped((box[1] * WIDTH, box[0] * HEIGHT, box[3] * WIDTH, box[2] * HEIGHT))


def tensorflow(path: Path) -> Bare:
    infer = (openvino if path.suffix == ".xml" else onnx)(path)
    names = ("num_detections", "detection_classes", "detection_boxes", "detection_scores")

    def find(image: Image) -> Found:
        outputs = infer(stretched(image)[None])
        named = [outputs[n] for n in names] if path.suffix == ".xml" else outputs
        count, classes, boxes, scores = (o[0] for o in named)
        rows = list(zip(boxes, scores, classes, strict=True))[: int(count)]
        return [(yxyx(b), s, int(k)) for b, s, k in rows if s >= SCORE]

    return find


def zoo(path: Path) -> Bare:
    infer = openvino(path)

    def find(image: Image) -> Found:
        tensor = planes(cv2.resize(image, (SIDE, SIDE)), 1)
        found: Found = []
        for number, label, score, x1, y1, x2, y2 in infer(tensor)["detection_out"][0, 0]:
            if number < 0:
                break
            if score >= SCORE:
                found.append((yxyx((y1, x1, y2, x2)), score, int(label)))
        return found

    return find


def anchors(path: Path) -> Bare:
    infer, table = litert(path), blobs.tflite_anchors()

    def find(image: Image) -> Found:
        outputs = infer(stretched(image)[None].astype(np.float32) / 255)
        found: Found = []
        rows = zip(outputs["codes"][0], outputs["scores"][0], table, strict=True)
        for code, scores, (cy, cx, h, w) in rows:
            label = 1 + int(scores[1:].argmax())
            if scores[label] >= SCORE:
                y, x = code[0] / 10 * h + cy, code[1] / 10 * w + cx
                h, w = np.exp(code[2] / 5) * h, np.exp(code[3] / 5) * w
                box = (y - h / 2, x - w / 2, y + h / 2, x + w / 2)
                found.append((box, float(scores[label]), label))
        return [(yxyx(b), s, k) for b, s, k in thinned(found, 0.45)]

    return find


def post_processing(path: Path) -> Bare:
    infer = litert(path)

    def find(image: Image) -> Found:
        outputs = infer(stretched(image)[None].astype(np.float32) / 255)
        op = "TFLite_Detection_PostProcess"
        boxes, classes, scores, count = (outputs[op + i][0] for i in ("", ":1", ":2", ":3"))
        rows = list(zip(boxes, scores, classes, strict=True))[: int(count)]
        return [(yxyx(b), s, int(k)) for b, s, k in rows if s >= SCORE]

    return find
