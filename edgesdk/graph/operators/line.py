"""Crossings of a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgesdk.graph.frames import FrameInfo
from edgesdk.graph.operators.carried import (
    MOST_TRACKS,
    Carried,
    Count,
    Nanoseconds,
    Number,
    TrackId,
    finite,
    read_state,
)
from edgesdk.graph.operators.geometry import Points, anchors
from edgesdk.graph.operators.memory import TrackMemory
from edgesdk.values import Detections, Measurement

__all__ = ["LineCount"]

_Side = Annotated[int, msgspec.Meta(ge=-1, le=1)]
_Walked = tuple[TrackId, Count, Nanoseconds, _Side, Number, Number]


class _Crossings(Carried, frozen=True):
    """walks: id, steps since it was seen, and when; the last certain side, and the place there."""

    came_in: Count
    went_out: Count
    walks: Annotated[list[_Walked], msgspec.Meta(max_length=MOST_TRACKS)]


@dataclass
class _Walk:
    side: int = 0  # the last certain side: -1 left of the line, 1 right of it, 0 not yet certain
    point: tuple[float, float] = (0.0, 0.0)  # where it was then


class LineCount:
    """Counts tracks that come from certainly one side of a line to certainly the other.

    Certain is farther than *margin* of the frame's height from the line. A crossing counts when
    the way from the last certain place to this one meets the line between its two ends: a box that
    trembles on the line is never certain, and one that walks around its end does not cross.
    """

    def __init__(self, *, line: Points, margin: float, anchor: str) -> None:
        self._line = np.asarray(line, np.float64)
        self._margin = margin
        self._anchor = anchor
        self._memory: TrackMemory[_Walk] = TrackMemory(_Walk)
        self._in = 0
        self._out = 0

    def export_state(self) -> dict[str, Any]:
        walks = [
            [track, ago, seen_ns, walk.side, *walk.point]
            for track, ago, seen_ns, walk in self._memory.latest()
        ]
        return {"v": 1, "came_in": self._in, "went_out": self._out, "walks": walks}

    def import_state(self, state: Any, ahead_ns: int = 0) -> None:
        came = read_state(state, _Crossings)
        finite(*(number for walk in came.walks for number in walk[4:]))
        self._memory.recall(
            (t, ago, seen + ahead_ns, _Walk(side, (x, y)))
            for t, ago, seen, side, x, y in came.walks
        )
        self._in, self._out = came.came_in, came.went_out

    def step(self, tracks: Detections, info: FrameInfo) -> Measurement:
        # One unit is the frame's height in both directions, so that distances are distances.
        shape = np.array([info.width / max(info.height, 1), 1.0])
        start, end = self._line * shape
        places = anchors(tracks, self._anchor, info) * shape
        along = end - start
        length = float(np.hypot(*along))
        # Image y points down: a positive cross product lies to the right of the way along.
        beyond = _cross(along, places - start) / length
        ids = [] if tracks.track_ids is None else tracks.track_ids.tolist()
        seen = self._memory.see(ids, info.capture_mono_ns)
        for (_, walk, _), place, distance in zip(seen, places, beyond, strict=True):
            if abs(distance) <= self._margin:
                continue
            side = 1 if distance > 0 else -1
            here = (float(place[0]), float(place[1]))
            if walk.side == -side and _meets(np.array(walk.point), place, start, along):
                if side > 0:
                    self._in += 1
                else:
                    self._out += 1
            walk.side, walk.point = side, here
        return Measurement("line_count", {"in": self._in, "out": self._out})


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _meets(
    old: NDArray[np.float64],
    new: NDArray[np.float64],
    start: NDArray[np.float64],
    along: NDArray[np.float64],
) -> bool:
    """Whether the way from *old* to *new*, on either side of the line, meets it within its ends."""
    before, after = float(_cross(along, old - start)), float(_cross(along, new - start))
    meeting = old + (new - old) * (before / (before - after))
    share = float(np.dot(meeting - start, along) / np.dot(along, along))
    return 0.0 <= share <= 1.0
