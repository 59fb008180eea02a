"""Sampling by capture time."""

from __future__ import annotations

import math

from edgesdk.graph.frames import FrameInfo

__all__ = ["Sample"]


class Sample:
    """Passes the first frame at or after each k/fps seconds of capture time: CLOCK_MONOTONIC,
    or in a recording counted from its first frame.

    Which frame that is depends on the frames' times alone, not on when this began: equal rates
    pick equal frames. A frame counts as on time if early by at most a twentieth of the period. A
    camera that says it gives no more than *fps* is passed whole, since trembling time stamps would
    else put two of its frames into one period and none into the next.
    """

    def __init__(self, *, fps: float) -> None:
        self._fps = fps
        self._last: int | None = None
        self._incarnation: int | None = None

    def step(self, view: object, info: FrameInfo) -> bool:
        period = math.floor(((info.capture_mono_ns - info.origin_ns) * self._fps) / 1e9 + 0.05)
        again = self._incarnation != info.incarnation
        self._incarnation = info.incarnation
        if 0 < info.frame_rate <= self._fps * 1.01:
            self._last = period
            return True
        # A clock that went back (another machine's frames in the same ring) begins anew.
        if self._last is not None and period == self._last and not again:
            return False
        self._last = period
        return True
