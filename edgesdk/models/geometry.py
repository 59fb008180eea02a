"""Where an image of a frame lands in a model's input, and the way back.

Coordinates are continuous: pixel *i* covers ``[i, i + 1)``. With that convention a resize by *s*
maps edge to edge, ``x * s``, and agrees with the half-pixel centres that ``cv2.resize`` samples at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Geometry", "Placement", "place", "region_of"]

Region = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Geometry:
    """``frame = origin + input * step`` in pixels, for one image of a batch."""

    frame_width: int
    frame_height: int
    origin_x: float
    origin_y: float
    step_x: float
    step_y: float

    def to_frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes ``[n, 4]`` x1, y1, x2, y2 in input pixels, as frame pixels, clipped to it."""
        step = np.array([self.step_x, self.step_y] * 2, np.float64)
        origin = np.array([self.origin_x, self.origin_y] * 2, np.float64)
        high = np.array([self.frame_width, self.frame_height] * 2, np.float64)
        return np.clip(boxes * step + origin, 0.0, high).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Placement:
    """The region of the frame that is resized, and where in the input it goes."""

    region: Region  # x1, y1, x2, y2 in the frame
    left: int
    top: int
    width: int
    height: int

    def geometry(self, frame_width: int, frame_height: int) -> Geometry:
        x1, y1, x2, y2 = self.region
        step_x, step_y = (x2 - x1) / self.width, (y2 - y1) / self.height
        return Geometry(
            frame_width,
            frame_height,
            x1 - self.left * step_x,
            y1 - self.top * step_y,
            step_x,
            step_y,
        )


def region_of(box: object, width: int, height: int) -> Region:
    """The whole pixels that *box* (x1, y1, x2, y2, or None for all) touches; at least one.

    :raises ValueError: the box is not four finite numbers.
    """
    if box is None:
        return 0, 0, width, height
    sides = np.asarray(box, np.float64)
    if sides.shape != (4,) or not np.isfinite(sides).all():
        raise ValueError(f"a crop is four finite numbers x1, y1, x2, y2, not {box!r}")
    x1 = min(max(int(np.floor(sides[0])), 0), width - 1)
    y1 = min(max(int(np.floor(sides[1])), 0), height - 1)
    x2 = max(min(int(np.ceil(sides[2])), width), x1 + 1)
    y2 = max(min(int(np.ceil(sides[3])), height), y1 + 1)
    return x1, y1, x2, y2


def place(
    region: Region, width: int, height: int, *, resize: str, centred: bool, crop_fraction: float
) -> Placement:
    """Fits *region* to an input of *width* x *height* by the policy *resize*.

    ``stretch`` fills the input and lets the aspect go; ``letterbox`` keeps it and pads; ``crop``
    keeps it and cuts the sides away, after which *crop_fraction* of the rest is looked at.
    """
    x1, y1, x2, y2 = region
    w, h = x2 - x1, y2 - y1
    if resize == "letterbox":
        ratio = min(width / w, height / h)
        new_w = max(1, min(width, round(w * ratio)))
        new_h = max(1, min(height, round(h * ratio)))
        left, top = ((width - new_w) // 2, (height - new_h) // 2) if centred else (0, 0)
        return Placement(region, left, top, new_w, new_h)
    if resize == "crop":
        ratio = max(width / w, height / h) / crop_fraction
        cut_w = max(1, min(w, round(width / ratio)))
        cut_h = max(1, min(h, round(height / ratio)))
        x1, y1 = x1 + (w - cut_w) // 2, y1 + (h - cut_h) // 2
        return Placement((x1, y1, x1 + cut_w, y1 + cut_h), 0, 0, width, height)
    return Placement(region, 0, 0, width, height)
