"""What an operator is told of a frame: its times and size, and a view of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Colour", "FrameInfo", "FrameView"]

Colour = Literal["BGR", "RGB", "GRAY"]


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """Which frame this is. *sequence* rises by one a frame: a jump is a frame nobody saw.

    incarnation: counts the source's connections; times: integers of nanoseconds, CLOCK_MONOTONIC of
    the capturing node and UTC since 1970; width, height: pixels; frame_rate: 0 where unknown.
    origin_ns: from where sampling and windows count: a recording's first frame, so that each run
    over it sees the same; 0, the clock itself, for what is live.
    """

    sequence: int
    incarnation: int
    capture_mono_ns: int
    capture_utc_ns: int
    width: int
    height: int
    frame_rate: float = 0.0
    origin_ns: int = 0


@dataclass(frozen=True, eq=False)
class FrameView:
    """A frame, or a part of it.

    image: uint8 ``[height, width, 3]`` in the order that *colour* says, or ``[height, width]`` for
    GRAY; always in the coordinates of the whole frame, read-only, on loan for one step: copy what
    is to outlive it. box: the part to look at, ``x1, y1, x2, y2`` in pixels; None is all of it.
    Outside *box* the image may hold anything.
    """

    image: NDArray[np.uint8]
    colour: Colour = "BGR"
    box: tuple[int, int, int, int] | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """The pixels within *box*: a view, not a copy."""
        if self.box is None:
            return self.image
        x1, y1, x2, y2 = self.box
        return self.image[y1:y2, x1:x2]
