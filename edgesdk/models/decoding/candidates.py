"""Boxes that a decoder found in one image, before and after thinning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Candidates", "logit", "sigmoid", "suppress"]

# what enters suppression at most: greedy suppression costs (kept x candidates)
MAX_CANDIDATES = 3000


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
    x1, y1, x2, y2 = boxes.T
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    alive = np.ones(len(order), np.bool_)
    kept: list[int] = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == keep:
            break
        rest = slice(i + 1, None)
        width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
        height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        overlaps = shared > iou * (areas[i] + areas[rest] - shared)
        if not agnostic:
            overlaps &= classes[rest] == classes[i]
        alive[rest] &= ~overlaps
    return found.take(order[kept])


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
