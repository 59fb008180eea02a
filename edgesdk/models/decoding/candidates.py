"""Boxes that a decoder found in one image, before and after thinning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Candidates", "logit", "sigmoid", "suppress"]

# what enters suppression at most: greedy suppression costs (kept x candidates)
MAX_CANDIDATES = 3000
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Candidates:
    """boxes: float32 ``[n, 4]`` x1, y1, x2, y2 in input pixels; scores: float32 ``[n]``;
    classes: int32 ``[n]``, the model's numbers before the card's offset."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int32]

    def take(self, rows: NDArray[Any]) -> Candidates:
        return Candidates(self.boxes[rows], self.scores[rows], self.classes[rows])


def suppress(found: Candidates, *, iou: float, agnostic: bool, keep: int) -> Candidates:
    """Greedy non-maximum suppression: best first, a box that overlaps a kept one by more than
    *iou* (of the same class, unless *agnostic*) goes; at most *keep* stay."""
    order = np.argsort(-found.scores, kind="stable")[:MAX_CANDIDATES]
    boxes, classes = found.boxes[order], found.classes[order]
    alive = np.ones(len(order), np.bool_)
    kept: list[int] = []
    for start in range(0, len(order), _BLOCK):
        # rows that earlier blocks killed are left out; those of this block still may fall
        rows = start + np.flatnonzero(alive[start : start + _BLOCK])
        overlaps = _overlaps(boxes, rows, start, iou)
        if not agnostic:
            overlaps &= classes[rows, None] == classes[None, start:]
        for row, overlap in zip(rows.tolist(), overlaps, strict=True):
            if alive[row]:
                kept.append(row)
                if len(kept) == keep:
                    return found.take(order[kept])
                alive[start:] &= ~overlap
    return found.take(order[kept])


def _overlaps(
    boxes: NDArray[np.float32], rows: NDArray[np.intp], start: int, iou: float
) -> NDArray[np.bool_]:
    """``[rows, n - start]``: whether the boxes of *rows* overlap those from *start* on."""
    x1, y1, x2, y2 = boxes[start:].T
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    at = rows - start
    width = np.minimum(x2[at, None], x2) - np.maximum(x1[at, None], x1)
    height = np.minimum(y2[at, None], y2) - np.maximum(y1[at, None], y1)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    return np.asarray(shared > iou * (areas[at, None] + areas - shared))


def sigmoid(x: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -80.0, 80.0))), np.float32)


def logit(p: float) -> float:
    """The x at which ``sigmoid(x) == p``; infinite at 0 and 1."""
    if p <= 0.0:
        return -np.inf
    return float(np.log(p / (1.0 - p))) if p < 1.0 else np.inf


def best_class(
    scores: NDArray[Any], threshold: float
) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.float32]]:
    """Rows of ``[n, classes]`` whose best score reaches *threshold*, with class and score."""
    rows = np.flatnonzero(scores.max(axis=1) >= threshold)
    chosen = scores[rows]
    classes = chosen.argmax(axis=1)
    return rows, classes.astype(np.int32), chosen[np.arange(len(rows)), classes]


def corners(centres: NDArray[Any]) -> NDArray[np.float32]:
    """cx, cy, w, h as x1, y1, x2, y2; ``[n, 4]`` both."""
    half = centres[:, 2:4] * 0.5
    return np.concatenate([centres[:, :2] - half, centres[:, :2] + half], 1, dtype=np.float32)
