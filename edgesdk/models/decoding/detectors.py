"""Picks a detector's decoder by the card's kind, and feeds it one image of a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import CardError, ModelInvalid
from edgesdk.models.card import ModelCard
from edgesdk.models.decoding import anchors, thinned, yolo
from edgesdk.models.decoding.candidates import Candidates
from edgesdk.models.schema import (
    DetectionOutput,
    SsdAnchors,
    SsdNms,
    TflitePostprocess,
    YoloNmsFree,
    YoloV5,
    YoloV8,
    YoloX,
)

__all__ = ["Detector"]

DetectKind = (
    SsdNms
    | TflitePostprocess
    | DetectionOutput
    | SsdAnchors
    | YoloV5
    | YoloV8
    | YoloNmsFree
    | YoloX
)
MAX_ANCHOR_FILE = 16 << 20
# x1, y1, x2, y2, score, class, and what a mask or key points add
MAX_COLUMNS = 256


class Detector:
    """Finds candidates in the outputs of one image. Immutable after construction."""

    def __init__(self, card: ModelCard, kind: DetectKind, size: tuple[int, int]) -> None:
        self._card = card
        self._kind = kind
        self._size = size
        self._classes = max(card.labels) - kind.class_offset + 1 if card.labels else None
        self._anchors: NDArray[np.float32] | None = None
        self._grid: NDArray[np.float32] | None = None
        if isinstance(kind, SsdAnchors):
            if kind.anchors is not None:
                self._anchors = anchors.make_anchors(kind.anchors, *size)
            elif kind.anchors_file is not None:
                self._anchors = _read_anchors(card, kind.anchors_file)
        elif isinstance(kind, YoloX) and not kind.decoded:
            self._grid = yolo.yolox_grid(kind.strides, *size)

    def check(self, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
        """Holds what is known of the outputs' *shapes*, by role, against the card.

        :raises ModelInvalid: no frame could be decoded from such outputs.
        """
        known = {role: shape for role, shape in shapes.items() if all((d or 0) > 0 for d in shape)}
        for role, shape in known.items():
            wanted = self._wanted(role, [d or 0 for d in shape])
            if wanted:
                raise self._misfit(role, shape, wanted)

    def _wanted(self, role: str, shape: list[int]) -> str | None:
        """What should be in the place of *shape*; None if it may be right."""
        match self._kind, role:
            case ((SsdNms() | TflitePostprocess()), "boxes") if shape[-1:] != [4]:
                return "[n, boxes, 4]"
            case DetectionOutput(), "detections" if shape[-1:] != [7]:
                return "[1, 1, n, 7]"
            case YoloNmsFree(), "predictions" if not shape or not 6 <= shape[-1] <= MAX_COLUMNS:
                return "[n, boxes, 6]"
            case YoloX(), "predictions" if self._grid is not None:
                if len(self._grid) not in shape[-2:]:
                    return f"{len(self._grid)} boxes for strides {list(self._kind.strides)}"
            case SsdAnchors(), ("boxes" | "scores") if self._anchors is not None:
                numbers, count = (
                    math.prod(shape[1:] if len(shape) > 2 else shape),
                    len(self._anchors),
                )
                if numbers % count or (role == "boxes" and numbers < 4 * count):
                    return f"the {count} anchors of the card"
        return None

    def find(self, roles: Mapping[str, NDArray[Any]], image: int, score: float) -> Candidates:
        """Candidates of image number *image*, in input pixels, at or above *score*.

        :raises ModelInvalid: the outputs do not have the shape that the card's kind implies.
        """
        kind, (width, height) = self._kind, self._size
        match kind:
            case SsdNms() | TflitePostprocess():
                box_order = kind.box_order if isinstance(kind, SsdNms) else "yxyx"
                normalised = kind.normalised if isinstance(kind, SsdNms) else True
                boxes = self._image_of(roles["boxes"], image, 3)
                if boxes.shape[-1] != 4:
                    raise self._misfit("boxes", roles["boxes"].shape, "[n, boxes, 4]")
                return thinned.decode_thinned(
                    boxes,
                    self._image_of(roles["scores"], image, 2),
                    self._image_of(roles["classes"], image, 2),
                    _count(roles.get("count"), image),
                    yxyx=box_order == "yxyx",
                    extent=(width, height) if normalised else (1, 1),
                    score=score,
                )
            case DetectionOutput():
                rows = roles["detections"]
                if rows.shape[-1] != 7:
                    raise self._misfit("detections", rows.shape, "[1, 1, n, 7]")
                return thinned.decode_detection_output(
                    rows.reshape(-1, 7), image, extent=(width, height), score=score
                )
            case SsdAnchors():
                return self._find_by_anchors(kind, roles, image, score)
            case YoloX():
                rows = self._predictions(roles, image, 5)
                if self._grid is not None and len(rows) != len(self._grid):
                    wanted = f"{len(self._grid)} boxes for strides {list(kind.strides)}"
                    raise self._misfit("predictions", rows.shape, wanted)
                return yolo.yolox_boxes(rows, self._grid, score=score)
            case YoloV5():
                rows = self._predictions(roles, image, 5)
                decode = yolo.decode_v5
            case YoloV8():
                rows = self._predictions(roles, image, 4)
                decode = yolo.decode_v8
            case YoloNmsFree():
                rows = self._image_of(roles["predictions"], image, 3)
                if rows.shape[1] < 6:
                    raise self._misfit("predictions", rows.shape, "[n, boxes, 6]")
                decode = yolo.decode_nms_free
        return decode(rows, normalised=kind.normalised, size=self._size, score=score)

    def _find_by_anchors(
        self, kind: SsdAnchors, roles: Mapping[str, NDArray[Any]], image: int, score: float
    ) -> Candidates:
        assert self._anchors is not None
        count = len(self._anchors)
        encodings = self._image_of(roles["boxes"], image, 3)
        scores = self._image_of(roles["scores"], image, 3)
        if encodings.size % count or encodings.size // count < 4 or scores.size % count:
            raise ModelInvalid(
                f"{self._card.name}: boxes {list(encodings.shape)} and scores "
                f"{list(scores.shape)} do not fit the {count} anchors of the card"
            )
        return anchors.decode_anchors(
            encodings.reshape(count, -1),
            scores.reshape(count, -1),
            self._anchors,
            kind,
            extent=self._size,
            score=score,
        )

    def _predictions(
        self, roles: Mapping[str, NDArray[Any]], image: int, fixed: int
    ) -> NDArray[Any]:
        """``[boxes, columns]`` of one image, whichever way the model lays it."""
        one = self._image_of(roles["predictions"], image, 3)
        columns = None if self._classes is None else fixed + self._classes
        rows = yolo.rows_first(one, columns)
        if rows.shape[1] <= 4:
            raise self._misfit("predictions", one.shape, f"at least {fixed + 1} numbers a box")
        return rows

    def _image_of(self, array: NDArray[Any], image: int, dimensions: int) -> NDArray[Any]:
        """One image's part; dimensions: of a batch. A missing batch dimension means one image."""
        while array.ndim > dimensions and array.shape[0] == 1:
            array = array[0]
        if array.ndim == dimensions - 1 and image == 0:
            return array
        if array.ndim != dimensions or image >= array.shape[0]:
            raise self._misfit("an output", array.shape, f"{dimensions} dimensions, batch first")
        one: NDArray[Any] = array[image]
        return one

    def _misfit(self, role: str, shape: Sequence[int | None], wanted: str) -> ModelInvalid:
        return ModelInvalid(
            f"{self._card.name}: {role} has shape {list(shape)}; "
            f"decoding {type(self._kind).__struct_config__.tag!r} expects {wanted}"
        )


def _count(count: NDArray[Any] | None, image: int) -> int | None:
    if count is None or count.size <= image:
        return None
    value = float(count.reshape(-1)[image])
    return int(value) if np.isfinite(value) else 0


def _read_anchors(card: ModelCard, name: str) -> NDArray[np.float32]:
    """Rows ``cy cx h w`` as cx, cy, w, h."""
    path = card.directory / name
    try:
        if path.stat().st_size > MAX_ANCHOR_FILE or not path.is_file():
            raise CardError(
                f"{card.path}: decode.anchors_file: {name!r} is larger than 16 MiB, or no file"
            )
        rows = np.loadtxt(path, np.float32, delimiter="," if path.suffix == ".csv" else None)
    except OSError as e:
        raise CardError(f"{card.path}: decode.anchors_file: {name!r}: {e.strerror}") from None
    except ValueError as e:
        raise CardError(f"{card.path}: decode.anchors_file: {name!r}: {e}") from None
    if rows.ndim != 2 or rows.shape[1] != 4 or not np.isfinite(rows).all():
        raise CardError(f"{card.path}: decode.anchors_file: {name!r}: expected 4 numbers a line")
    return np.ascontiguousarray(rows[:, [1, 0, 3, 2]])
