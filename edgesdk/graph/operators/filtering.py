"""Detections that answer conditions."""

from __future__ import annotations

import numpy as np

from edgesdk.graph.frames import FrameInfo
from edgesdk.graph.operators.geometry import Points, anchors, inside
from edgesdk.values import Detections

__all__ = ["Filter"]


class Filter:
    """Keeps the rows that answer every condition, in their order."""

    def __init__(
        self,
        *,
        classes: tuple[str, ...] | None,
        score: float,
        zone: Points | None,
        anchor: str,
        min_size: tuple[float, float] | None,
        max_size: tuple[float, float] | None,
    ) -> None:
        self._classes = None if classes is None else frozenset(classes)
        self._score = score
        self._zone = zone
        self._anchor = anchor
        self._min_size = min_size
        self._max_size = max_size

    def step(self, detections: Detections, info: FrameInfo) -> Detections:
        keep = detections.scores >= np.float32(self._score)
        if self._classes is not None:
            keep &= np.fromiter(
                (label in self._classes for label in detections.labels), np.bool_, len(detections)
            )
        if self._zone is not None:
            keep &= inside(anchors(detections, self._anchor, info), self._zone)
        boxes = detections.boxes
        if self._min_size is not None:
            width, height = self._min_size[0] * info.width, self._min_size[1] * info.height
            keep &= (boxes[:, 2] - boxes[:, 0] >= width) & (boxes[:, 3] - boxes[:, 1] >= height)
        if self._max_size is not None:
            width, height = self._max_size[0] * info.width, self._max_size[1] * info.height
            if width > 0:  # a height alone was given
                keep &= boxes[:, 2] - boxes[:, 0] <= width
            keep &= boxes[:, 3] - boxes[:, 1] <= height
        return detections if keep.all() else detections.select(keep)
