"""How many tracks there are, were, and how long they stay."""

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
    Nanoseconds,
    TrackId,
    read_state,
)
from edgesdk.graph.operators.carried import Count as Whole
from edgesdk.graph.operators.geometry import Points, anchors, inside
from edgesdk.graph.operators.memory import TrackMemory
from edgesdk.values import Detections, Measurement

__all__ = ["Count", "Dwell", "ZoneCount"]

_Seen = tuple[TrackId, Whole, Nanoseconds]
_Stayed = tuple[TrackId, Whole, Nanoseconds, Whole, Nanoseconds | None]
_Listed = msgspec.Meta(max_length=MOST_TRACKS)


class _Total(Carried, frozen=True):
    """tracks: id, steps since it was seen, and when."""

    total: Whole
    tracks: Annotated[list[_Seen], _Listed]


class _Stays(Carried, frozen=True):
    """tracks: as in :class:`_Total`, then nanoseconds, and up to when they are counted."""

    tracks: Annotated[list[_Stayed], _Listed]
    before: Annotated[list[TrackId], _Listed]


def _ids(tracks: Detections) -> NDArray[np.int64]:
    return np.zeros(0, np.int64) if tracks.track_ids is None else tracks.track_ids


class _Counting:
    """How many different tracks there were."""

    def __init__(self) -> None:
        self._memory: TrackMemory[None] = TrackMemory(lambda: None)
        self._total = 0

    def export_state(self) -> dict[str, Any]:
        tracks = [[track, ago, seen_ns] for track, ago, seen_ns, _ in self._memory.latest()]
        return {"v": 1, "total": self._total, "tracks": tracks}

    def import_state(self, state: Any, ahead_ns: int = 0) -> None:
        came = read_state(state, _Total)
        self._memory.recall((t, ago, seen + ahead_ns, None) for t, ago, seen in came.tracks)
        self._total = came.total


class Count(_Counting):
    """``now``: tracks in this frame; ``total``: tracks since the start."""

    def step(self, tracks: Detections, info: FrameInfo) -> Measurement:
        seen = self._memory.see(_ids(tracks).tolist(), info.capture_mono_ns)
        self._total += sum(new for _, _, new in seen)
        return Measurement("count", {"now": len(seen), "total": self._total})


class ZoneCount(_Counting):
    """``now``: tracks inside the polygon; ``total``: tracks that have been in it."""

    def __init__(self, *, polygon: Points, anchor: str) -> None:
        super().__init__()
        self._polygon = polygon
        self._anchor = anchor

    def step(self, tracks: Detections, info: FrameInfo) -> Measurement:
        within = inside(anchors(tracks, self._anchor, info), self._polygon)
        seen = self._memory.see(_ids(tracks)[within].tolist(), info.capture_mono_ns)
        self._total += sum(new for _, _, new in seen)
        return Measurement("zone_count", {"now": len(seen), "total": self._total})


@dataclass
class _Stay:
    nanoseconds: int = 0
    last_ns: int | None = None


class Dwell:
    """Seconds of capture time that each track has been in view, or inside the polygon.

    The time between two frames counts for a track that is inside in both; a track that leaves and
    comes back goes on from where it was.
    """

    def __init__(self, *, polygon: Points | None, anchor: str) -> None:
        self._polygon = polygon
        self._anchor = anchor
        self._memory: TrackMemory[_Stay] = TrackMemory(_Stay)
        self._before: frozenset[int] = frozenset()

    def export_state(self) -> dict[str, Any]:
        tracks = [
            [track, ago, seen_ns, stay.nanoseconds, stay.last_ns]
            for track, ago, seen_ns, stay in self._memory.latest()
        ]
        known = {track[0] for track in tracks}
        return {"v": 1, "tracks": tracks, "before": sorted(self._before & known)}

    def import_state(self, state: Any, ahead_ns: int = 0) -> None:
        came = read_state(state, _Stays)
        self._memory.recall(
            (t, ago, seen + ahead_ns, _Stay(stayed, None if last is None else last + ahead_ns))
            for t, ago, seen, stayed, last in came.tracks
        )
        self._before = frozenset(came.before)

    def step(self, tracks: Detections, info: FrameInfo) -> Measurement:
        ids = _ids(tracks)
        if self._polygon is not None:
            ids = ids[inside(anchors(tracks, self._anchor, info), self._polygon)]
        now = info.capture_mono_ns
        rows = []
        for track, stay, _ in self._memory.see(ids.tolist(), now):
            if stay.last_ns is not None and track in self._before:
                stay.nanoseconds += max(0, now - stay.last_ns)
            stay.last_ns = now
            rows.append({"track_id": track, "seconds": round(stay.nanoseconds / 1e9, 3)})
        self._before = frozenset(ids.tolist())
        seconds = [row["seconds"] for row in rows]
        return Measurement(
            "dwell",
            {
                "tracks": rows,
                "now": len(rows),
                "mean": round(sum(seconds) / len(seconds), 3) if seconds else None,
                "max": max(seconds, default=None),
            },
        )
