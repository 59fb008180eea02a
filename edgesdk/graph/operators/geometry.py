"""Points, polygons and lines, in [0, 1] of the frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgesdk.graph.frames import FrameInfo
from edgesdk.values import Detections

__all__ = ["Points", "anchors", "inside"]

Points = Sequence[Sequence[float]]


def anchors(detections: Detections, anchor: str, info: FrameInfo) -> NDArray[np.float64]:
    """Where each box stands, float64 ``[n, 2]`` in [0, 1]: its lower middle, or its centre."""
    boxes = detections.boxes.astype(np.float64)
    x = (boxes[:, 0] + boxes[:, 2]) / 2
    y = boxes[:, 3] if anchor == "bottom" else (boxes[:, 1] + boxes[:, 3]) / 2
    return np.stack([x / max(info.width, 1), y / max(info.height, 1)], axis=1)


def inside(points: NDArray[np.float64], polygon: Points) -> NDArray[np.bool_]:
    """Which *points* lie in *polygon* (even-odd rule); float64 ``[n, 2]`` to bool ``[n]``."""
    corners = np.asarray(polygon, np.float64)
    following = np.roll(corners, -1, axis=0)
    x, y = points[:, 0, None], points[:, 1, None]
    spans = (corners[:, 1] > y) != (following[:, 1] > y)
    rise = following[:, 1] - corners[:, 1]
    run = following[:, 0] - corners[:, 0]
    at = corners[:, 0] + (y - corners[:, 1]) * run / np.where(rise == 0, 1.0, rise)
    crossings = np.count_nonzero(spans & (x < at), axis=1)
    return np.asarray(crossings % 2 == 1, np.bool_)
