"""Looking at a part of the frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.graph.operators.geometry import Points

__all__ = ["Crop", "Zone"]

_GREY = 114  # what letterboxing pads with: no edge that a detector could take for an object

Box = tuple[int, int, int, int]


def _within(view: FrameView, box: Sequence[float]) -> Box:
    """*box* in [0, 1] as whole pixels of the frame, cut to the view, one pixel at least."""
    height, width = view.image.shape[:2]
    x1, y1, x2, y2 = view.box or (0, 0, width, height)
    left = min(max(int(box[0] * width), x1), x2 - 1)
    top = min(max(int(box[1] * height), y1), y2 - 1)
    right = max(min(int(np.ceil(box[2] * width)), x2), left + 1)
    bottom = max(min(int(np.ceil(box[3] * height)), y2), top + 1)
    return left, top, right, bottom


class Crop:
    """The part within a box; the pixels are not touched."""

    def __init__(self, *, box: Sequence[float]) -> None:
        self._box = box

    def step(self, view: FrameView, info: FrameInfo) -> FrameView:
        return FrameView(view.image, view.colour, _within(view, self._box))


class Zone:
    """The part within a polygon; a copy of it, grey outside."""

    def __init__(self, *, polygon: Points) -> None:
        self._corners = np.asarray(polygon, np.float64)
        self._mask: NDArray[np.uint8] | None = None
        self._mask_of: tuple[int, int, Box] | None = None

    def step(self, view: FrameView, info: FrameInfo) -> FrameView:
        low, high = self._corners.min(axis=0), self._corners.max(axis=0)
        box = _within(view, (*low, *high))
        outside = self._outside(view.image.shape[0], view.image.shape[1], box)
        x1, y1, x2, y2 = box
        # Zeros come as untouched pages: outside the box they cost nothing.
        image = np.zeros(view.image.shape, np.uint8)
        part = image[y1:y2, x1:x2]
        part[...] = view.image[y1:y2, x1:x2]
        part[outside] = _GREY
        image.flags.writeable = False
        return FrameView(image, view.colour, box)

    def _outside(self, height: int, width: int, box: Box) -> NDArray[np.bool_]:
        import cv2

        key = (height, width, box)
        if self._mask is None or self._mask_of != key:
            x1, y1, x2, y2 = box
            mask = np.ones((y2 - y1, x2 - x1), np.uint8)
            corners = np.rint(self._corners * (width, height) - (x1, y1)).astype(np.int32)
            cv2.fillPoly(mask, [corners], 0)
            self._mask, self._mask_of = mask, key
        return self._mask.astype(np.bool_)
