"""The YOLO families whose outputs differ: v5, v8 (and 9, 11), NMS-free (10, 26), YOLOX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.models.decoding.candidates import Candidates, best_class, corners

__all__ = ["decode_nms_free", "decode_v5", "decode_v8", "rows_first", "yolox_boxes", "yolox_grid"]


def rows_first(predictions: NDArray[Any], columns: int | None) -> NDArray[Any]:
    """``[boxes, columns]`` of one image's predictions, which may lie transposed.

    columns: how many there are to a box, where the labels tell; else the shorter side is it.
    """
    rows, width = predictions.shape
    if columns is not None and (rows == columns) != (width == columns):
        return predictions if width == columns else predictions.T
    return predictions if width <= rows else predictions.T


def extent_of(
    coordinates: NDArray[Any], normalised: bool | None, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Input pixels a unit of the boxes ``[n, 4]``.

    Unsaid, it is read off all boxes: in pixels they span the input, in [0, 1] they never reach 2.
    """
    if normalised is None:
        normalised = len(coordinates) > 0 and bool(np.nanmax(coordinates) <= 2.0)
    width, height = size if normalised else (1, 1)
    return np.array([width, height, width, height], np.float32)


def decode_v8(
    predictions: NDArray[Any], *, normalised: bool | None, size: tuple[int, int], score: float
) -> Candidates:
    """predictions ``[boxes, 4 + classes]``: cx, cy, w, h, then one score a class."""
    rows, classes, scores = best_class(predictions[:, 4:], score)
    extent = extent_of(predictions[:, :4], normalised, size)
    return _finite(corners(predictions[rows, :4] * extent), scores, classes)


def decode_v5(
    predictions: NDArray[Any], *, normalised: bool | None, size: tuple[int, int], score: float
) -> Candidates:
    """predictions ``[boxes, 5 + classes]``; a score is objectness times class score."""
    likely = np.flatnonzero(predictions[:, 4] >= score)
    chosen = predictions[likely]
    scores = chosen[:, 5:] * chosen[:, 4:5] if chosen.shape[1] > 5 else chosen[:, 4:5]
    rows, classes, best = best_class(scores, score)
    extent = extent_of(predictions[:, :4], normalised, size)
    return _finite(corners(chosen[rows, :4] * extent), best, classes)


def decode_nms_free(
    predictions: NDArray[Any], *, normalised: bool | None, size: tuple[int, int], score: float
) -> Candidates:
    """predictions ``[boxes, 6]``: x1, y1, x2, y2, score, class."""
    rows = predictions[predictions[:, 4] >= score]
    extent = extent_of(predictions[:, :4], normalised, size)
    return _finite(rows[:, :4] * extent, rows[:, 4], np.round(rows[:, 5]))


def yolox_grid(strides: Sequence[int], width: int, height: int) -> NDArray[np.float32]:
    """``[boxes, 3]``: column, row and stride of each prediction."""
    parts = []
    for stride in strides:
        y, x = np.mgrid[0 : height // stride, 0 : width // stride]
        parts.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def yolox_boxes(
    predictions: NDArray[Any], grid: NDArray[np.float32] | None, *, score: float
) -> Candidates:
    """predictions ``[boxes, 5 + classes]``; grid: see :func:`yolox_grid`, None if decoded."""
    likely = np.flatnonzero(predictions[:, 4] >= score)
    chosen = predictions[likely]
    rows, classes, best = best_class(chosen[:, 5:] * chosen[:, 4:5], score)
    boxes = chosen[rows, :4].astype(np.float32)
    if grid is not None:
        cell = grid[likely[rows]]
        boxes[:, :2] = (boxes[:, :2] + cell[:, :2]) * cell[:, 2:]
        boxes[:, 2:] = np.exp(np.minimum(boxes[:, 2:], 50)) * cell[:, 2:]
    return _finite(corners(boxes), best, classes)


def _finite(boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any]) -> Candidates:
    good = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    return Candidates(
        boxes[good].astype(np.float32, copy=False),
        np.clip(scores[good], 0.0, 1.0).astype(np.float32, copy=False),
        classes[good].astype(np.int32),
    )
