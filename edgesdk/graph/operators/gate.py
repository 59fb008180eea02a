"""The motion gate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.graph.operators.geometry import Points, inside

__all__ = ["Gate"]

_SIDE = 160  # the longer one of the picture that is compared


class Gate:
    """Passes frames in which enough pixels differ from a background that follows the scene.

    The picture is made grey and 160 pixels long, and taken against a running average; the median
    difference is subtracted first, so that a lamp or a cloud that changes all of it is no motion.
    The first frame passes, and so does the first after the source came back, changed its size, or
    its clock went back. Time is capture time: frames that are missing change nothing but their age.
    """

    def __init__(
        self,
        *,
        threshold: float,
        hold_ns: int,
        sensitivity: float,
        adapt_ns: int,
        every_ns: int | None,
        zone: Points | None,
    ) -> None:
        self._threshold = threshold
        self._hold_ns = hold_ns
        self._sensitivity = sensitivity
        self._adapt_ns = adapt_ns
        self._every_ns = every_ns
        self._zone = zone
        self._inside: NDArray[np.bool_] | None = None  # of the zone, as pixels of the background
        self._background: NDArray[np.float32] | None = None
        self._seen: tuple[int, int] = (0, 0)  # incarnation and time of the last frame
        self._pixels = 0  # that count: all, or those inside the zone
        self._moved_ns = 0
        self._passed_ns = 0

    def step(self, view: FrameView, info: FrameInfo) -> bool:
        now = info.capture_mono_ns
        small = _small_grey(view)
        incarnation, before = self._seen
        self._seen = (info.incarnation, now)
        background = self._background
        if (
            background is None
            or background.shape != small.shape
            or incarnation != info.incarnation
            or now < before
        ):
            self._background = small
            self._inside = None if self._zone is None else _mask(self._zone, view, small.shape)
            counted = small.size if self._inside is None else np.count_nonzero(self._inside)
            self._pixels = int(counted)
            self._moved_ns = now - self._hold_ns - 1  # the first frame is not motion to hold on to
            return self._pass(now)
        difference = small - background
        moved = np.abs(difference - np.median(difference)) > self._sensitivity
        if self._inside is not None:
            moved &= self._inside
        changed = np.count_nonzero(moved)
        # After a long gap one frame must not become the whole background: half at most.
        weight = min(0.5, 1.0 - math.exp(-(now - before) / self._adapt_ns))
        background += np.float32(weight) * difference
        if changed > self._threshold * self._pixels:
            self._moved_ns = now
            return self._pass(now)
        if now - self._moved_ns <= self._hold_ns:
            return self._pass(now)
        if self._every_ns is not None and now - self._passed_ns >= self._every_ns:
            return self._pass(now)
        return False

    def _pass(self, now: int) -> bool:
        self._passed_ns = now
        return True


def _mask(zone: Points, view: FrameView, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels of the small picture lie in *zone*, a polygon in [0, 1] of the whole frame."""
    height, width = view.image.shape[:2]
    x1, y1, x2, y2 = view.box or (0, 0, width, height)
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    x = (x1 + columns / shape[1] * (x2 - x1)) / width
    y = (y1 + rows / shape[0] * (y2 - y1)) / height
    return inside(np.stack([x.ravel(), y.ravel()], axis=1), zone).reshape(shape)


def _small_grey(view: FrameView) -> NDArray[np.float32]:
    """The view, grey and small: float32, 160 on its longer side, a new array."""
    import cv2

    pixels = view.pixels()
    height, width = pixels.shape[:2]
    longest = max(height, width)
    # Thinning first: averaging over every pixel of a large frame is slow.
    step = min(longest // (2 * _SIDE), height, width)
    if step > 1:
        pixels = pixels[step // 2 :: step, step // 2 :: step]
    scale = min(1.0, _SIDE / longest)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    if small.ndim == 3:
        code = cv2.COLOR_RGB2GRAY if view.colour == "RGB" else cv2.COLOR_BGR2GRAY
        small = cv2.cvtColor(small, code)
    return np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.float32)
