"""Detectors that thin their boxes themselves: TensorFlow's, TFLite's op, OpenVINO's layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.models.decoding.candidates import Candidates

__all__ = ["decode_detection_output", "decode_thinned"]


def decode_thinned(
    boxes: NDArray[Any],
    scores: NDArray[Any],
    classes: NDArray[Any],
    count: int | None,
    *,
    yxyx: bool,
    extent: tuple[float, float],
    score: float,
) -> Candidates:
    """boxes ``[n, 4]``, scores and classes ``[n]`` of one image, of which *count* are meant.

    extent: what one unit of the boxes is in input pixels, (width, height); (1, 1) for pixels.
    """
    n = min(len(scores), len(boxes), len(classes), len(scores) if count is None else max(count, 0))
    rows = np.flatnonzero(scores[:n] >= score)
    ordered = boxes[rows][:, [1, 0, 3, 2]] if yxyx else boxes[rows]
    scaled = ordered * np.array([*extent, *extent], np.float32)
    return _finite(scaled, scores[rows], np.round(classes[rows]))


def decode_detection_output(
    rows: NDArray[Any], image: int, *, extent: tuple[float, float], score: float
) -> Candidates:
    """rows ``[n, 7]``: image, class, score, x1, y1, x2, y2; a negative image number ends them."""
    ends = np.flatnonzero(rows[:, 0] < 0)
    if len(ends):
        rows = rows[: ends[0]]
    rows = rows[(rows[:, 0] == image) & (rows[:, 2] >= score)]
    return _finite(rows[:, 3:7] * np.array([*extent, *extent], np.float32), rows[:, 2], rows[:, 1])


def _finite(boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any]) -> Candidates:
    good = np.isfinite(boxes).all(axis=1) & np.isfinite(classes)
    return Candidates(
        boxes[good].astype(np.float32, copy=False),
        np.clip(scores[good], 0.0, 1.0).astype(np.float32, copy=False),
        classes[good].astype(np.int32),
    )
