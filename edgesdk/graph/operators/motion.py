"""Speed on the ground."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgesdk.graph.frames import FrameInfo
from edgesdk.graph.operators.carried import (
    Carried,
    Count,
    Nanoseconds,
    Number,
    TrackId,
    finite,
    read_state,
)
from edgesdk.graph.operators.geometry import anchors
from edgesdk.graph.operators.memory import TrackMemory
from edgesdk.values import Detections

__all__ = ["Speed"]

_MOST_PLACES = 256

# Of those that move to another node, for all to be small enough.
_CARRIED_TRACKS = 256
_CARRIED_PLACES = 2000

Place = tuple[int, float, float]  # capture time in ns, and metres on the ground

_Places = Annotated[list[tuple[Nanoseconds, Number, Number]], msgspec.Meta(max_length=_MOST_PLACES)]


class _Ways(Carried, frozen=True):
    """ways: a track's id, steps since it was seen, and when; its places, oldest first."""

    ways: Annotated[
        list[tuple[TrackId, Count, Nanoseconds, _Places]], msgspec.Meta(max_length=_CARRIED_TRACKS)
    ]


class Speed:
    """Metres a second, from where a track was *over_ns* of capture time ago to where it is.

    Null until a quarter of that time is known. *scale* is metres a pixel, or a homography from
    (x, y, 1) in [0, 1] of the frame to the ground.
    """

    def __init__(
        self, *, scale: float | Sequence[Sequence[float]], over_ns: int, name: str
    ) -> None:
        self._scale = np.asarray(scale, np.float64)
        self._over_ns = over_ns
        self._name = name
        self._memory: TrackMemory[deque[Place]] = TrackMemory(lambda: deque(maxlen=_MOST_PLACES))

    def export_state(self) -> dict[str, Any]:
        """Of many tracks at a high rate not every place: the first, the last, and some between."""
        latest = list(self._memory.latest(_CARRIED_TRACKS))
        most = max(2, _CARRIED_PLACES // max(len(latest), 1))
        return {"v": 1, "ways": [[*head, _thinned(places, most)] for *head, places in latest]}

    def import_state(self, state: Any, ahead_ns: int = 0) -> None:
        came = read_state(state, _Ways)
        finite(*(number for way in came.ways for place in way[3] for number in place[1:]))
        self._memory.recall(
            (t, ago, seen + ahead_ns, deque(_later(places, ahead_ns), _MOST_PLACES))
            for t, ago, seen, places in came.ways
        )

    def step(self, tracks: Detections, info: FrameInfo) -> Detections:
        now = info.capture_mono_ns
        ground = self._on_ground(anchors(tracks, "bottom", info), info)
        ids = [] if tracks.track_ids is None else tracks.track_ids.tolist()
        speeds = []
        for (_, places, _), (x, y) in zip(self._memory.see(ids, now), ground, strict=True):
            if places and now < places[-1][0]:
                places.clear()
            places.append((now, float(x), float(y)))
            while len(places) > 2 and places[1][0] <= now - self._over_ns:
                places.popleft()
            then, x0, y0 = places[0]
            known = (now - then) * 4 >= self._over_ns
            metres = float(np.hypot(x - x0, y - y0))
            speeds.append(round(metres / ((now - then) / 1e9), 3) if known else None)
        return tracks.with_attribute(self._name, tuple(speeds))

    def _on_ground(self, points: NDArray[np.float64], info: FrameInfo) -> NDArray[np.float64]:
        if self._scale.ndim == 0:
            return np.asarray(points * (info.width, info.height) * self._scale)
        mapped = np.c_[points, np.ones(len(points))] @ self._scale.T
        depth = mapped[:, 2:]
        return np.asarray(mapped[:, :2] / np.where(np.abs(depth) < 1e-9, 1e-9, depth))


def _thinned(places: Sequence[Place], most: int) -> list[list[Any]]:
    kept = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))
    return [list(places[i]) for i in kept]


def _later(places: Sequence[Place], ahead_ns: int) -> list[Place]:
    return sorted((at + ahead_ns, x, y) for at, x, y in places)
