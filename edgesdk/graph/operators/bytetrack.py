"""Multi-object tracking by associating every detection box."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgesdk.graph.frames import FrameInfo
from edgesdk.graph.operators.carried import Carried, Count, Nanoseconds, finite, read_state
from edgesdk.graph.operators.kalman import BoxFilter
from edgesdk.values import Detections

__all__ = ["ByteTrack"]

Rows = NDArray[np.intp]
Floats = NDArray[np.float64]

_LOW_OVERLAP = 0.2  # least IoU of a match with a detection of low score
_FRAMES = 30e-9  # of the video the paper's constants are for, in a nanosecond
_MARGIN = 0.5  # by which boxes are wider when matched for the last time
_CARRIED = 256  # tracks that move to another node with their stream
_LARGEST = 1e9  # of a filter's numbers: beyond it the next ones may be none

_Label = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]
_Numbers = Annotated[list[float], msgspec.Meta(min_length=20, max_length=20)]


class _Tracks(Carried, frozen=True):
    """tracks: id (0: not confirmed), hits, label, time of the last match, whether it was not seen
    last time, and its filter's 20 numbers. seen_ns: time of the last frame."""

    last_id: Count
    frames: Count
    seen_ns: Nanoseconds
    tracks: Annotated[
        list[tuple[Count, Count, _Label, Nanoseconds, bool, _Numbers]],
        msgspec.Meta(max_length=_CARRIED),
    ]


class ByteTrack:
    """ByteTrack: Zhang et al., "Multi-Object Tracking by Associating Every Detection Box", ECCV
    2022; its Algorithm 1, with the Kalman filter and the score-weighted overlap of its code.

    First the detections of high score are matched to all tracks, those lost included, by overlap
    times score; then those of low score to the tracks that are left, by overlap. What is left of
    both is matched once more with wider boxes (Yang et al., "Hard to Track Objects with Irregular
    Motions and Similar Appearances? Make It Easier by Buffering the Matching Space", WACV 2023),
    since at 5 frames a second people walk out of their boxes; for the same reason motion is
    predicted over capture time, up to a second. Matches are within one class.
    Against ByteTrack's code: low scores may find a lost track again, and two tracks that
    overlap are not made one, which measured better where people cross (tests/graph/tracking); a
    track is lost for a span of capture time, not a number of frames, since frames may be held or
    dropped; ids are given when a track is confirmed, so that they count tracks; after a source came
    back no track continues, but after the stream moved from another node they do. Rows keep their
    order, and a row's box is the detector's.
    """

    def __init__(
        self, *, high: float, low: float, start: float, overlap: float, lost_ns: int, confirm: int
    ) -> None:
        self._high = high
        self._low = low
        self._start = start
        self._overlap = overlap
        self._lost_ns = lost_ns
        self._confirm = confirm
        self._last_id = 0
        self._frames = 0
        # Incarnation, None for that of the next frame, and time of the last frame.
        self._seen: tuple[int | None, int] = (0, 0)
        self._clear()

    def _clear(self) -> None:
        self._filter = BoxFilter.start(np.zeros((0, 4)))
        self._ids = np.zeros(0, np.int64)  # 0: not yet confirmed
        self._hits = np.zeros(0, np.int64)
        self._labels = np.zeros(0, np.int32)
        self._matched = np.zeros(0, np.int64)  # time in ns of the last match
        self._lost = np.zeros(0, np.bool_)

    def export_state(self) -> dict[str, Any]:
        """All tracks, or of very many those with an id that were seen last."""
        numbers = self._filter.rows()
        sane = np.flatnonzero((np.abs(numbers) < _LARGEST).all(axis=1))
        latest = np.lexsort((self._matched[sane], self._ids[sane] > 0))
        kept = np.sort(sane[latest[-_CARRIED:]])
        return {
            "v": 1,
            "last_id": self._last_id,
            "frames": self._frames,
            "seen_ns": self._seen[1],
            "tracks": [
                [
                    int(self._ids[i]),
                    int(self._hits[i]),
                    int(self._labels[i]),
                    int(self._matched[i]),
                    bool(self._lost[i]),
                    numbers[i].tolist(),
                ]
                for i in kept
            ],
        }

    def import_state(self, state: Any, ahead_ns: int = 0) -> None:
        came = read_state(state, _Tracks)
        ids = [track[0] for track in came.tracks if track[0]]
        if len(set(ids)) < len(ids) or max(ids, default=0) > came.last_id:
            raise ValueError("a state with ids that were not given, or were given twice")
        numbers = np.array([track[5] for track in came.tracks], float).reshape(-1, 20)
        finite(*numbers.ravel())
        if (np.abs(numbers) > _LARGEST).any() or (
            numbers[:, [8, 9, 10, 11, 16, 17, 18, 19]] < 0
        ).any():
            raise ValueError("a state with boxes that cannot be")
        self._filter = BoxFilter.of(numbers)
        self._ids = np.array([track[0] for track in came.tracks], np.int64)
        self._hits = np.array([track[1] for track in came.tracks], np.int64)
        self._labels = np.array([track[2] for track in came.tracks], np.int32)
        self._matched = np.array([track[3] + ahead_ns for track in came.tracks], np.int64)
        self._lost = np.array([track[4] for track in came.tracks], np.bool_)
        self._last_id, self._frames = came.last_id, came.frames
        self._seen = (None, came.seen_ns + ahead_ns)

    def step(self, detections: Detections, info: FrameInfo) -> Detections:
        now = info.capture_mono_ns
        incarnation, before = self._seen
        another = incarnation not in (None, info.incarnation)
        if self._frames and (another or now < before):
            self._clear()
        self._seen = (info.incarnation, now)
        self._frames += 1
        boxes = detections.boxes.astype(np.float64)
        scores = detections.scores.astype(np.float64)
        labels = detections.label_ids
        real = np.isfinite(boxes).all(axis=1)  # the assignment would not end on a NaN
        boxes[~real] = 0.0
        high = np.flatnonzero(real & (scores >= self._high))
        low = np.flatnonzero(real & (scores < self._high) & (scores >= self._low))
        self._forget(now)
        # Lost tracks do not go on growing or shrinking.
        self._filter.velocity[self._lost, 3] = 0.0
        self._filter.predict(min(max((now - before) * _FRAMES, 0.1), 30.0))
        overlaps = self._similarity(boxes, labels)
        by_score = overlaps * scores[None, :]

        found = np.full(len(scores), -1, np.intp)  # the track of each detection
        every = np.arange(len(self._ids))
        tracks, left = self._match(by_score, every, high, 1 - self._overlap, found)
        tracks, _ = self._match(overlaps, tracks, low, 1 - _LOW_OVERLAP, found)
        if len(tracks) and len(left):
            wide = self._similarity(boxes, labels, margin=_MARGIN) * scores[None, :]
            _, left = self._match(wide, tracks, left, 1 - self._overlap, found)

        rows = np.flatnonzero(found >= 0)
        hit = np.zeros(len(self._ids), np.bool_)
        hit[found[rows]] = True
        if len(rows):
            self._filter.update(found[rows], boxes[rows])
            self._matched[found[rows]] = now
            self._hits[found[rows]] += 1
        self._lost = ~hit
        self._begin(left[scores[left] >= self._start], boxes, labels, now, found)
        self._name()
        return self._result(detections, found)

    def _similarity(self, boxes: Floats, labels: NDArray[np.int32], margin: float = 0.0) -> Floats:
        """The IoU of each track's expected box with each of *boxes*; 0 between classes."""
        found = _overlaps(_wider(self._filter.boxes(), margin), _wider(boxes, margin))
        found[self._labels[:, None] != labels[None, :]] = 0.0
        return found

    def _match(
        self, similarity: Floats, tracks: Rows, rows: Rows, limit: float, found: NDArray[np.intp]
    ) -> tuple[Rows, Rows]:
        """Writes the best assignment into *found*; returns the tracks and rows that are left."""
        if not len(tracks) or not len(rows):
            return tracks, rows
        import lap  # type: ignore[import-untyped]

        cost = 1.0 - similarity[np.ix_(tracks, rows)]
        _, of_track, of_row = lap.lapjv(cost, extend_cost=True, cost_limit=limit)
        taken = np.flatnonzero(of_row >= 0)
        found[rows[taken]] = tracks[of_row[taken]]
        return tracks[of_track < 0], rows[of_row < 0]

    def _forget(self, now: int) -> None:
        """Drops, of the tracks not seen last time, those unconfirmed or lost for too long."""
        keep = ~self._lost | ((self._ids > 0) & (now - self._matched <= self._lost_ns))
        self._filter.keep(keep)
        for name in ("_ids", "_hits", "_labels", "_matched", "_lost"):
            setattr(self, name, getattr(self, name)[keep])

    def _begin(
        self,
        rows: Rows,
        boxes: Floats,
        labels: NDArray[np.int32],
        now: int,
        found: NDArray[np.intp],
    ) -> None:
        n = len(rows)
        found[rows] = len(self._ids) + np.arange(n)
        # What is there when the stream begins counts at once, as in the paper's code.
        hits = self._confirm if self._frames == 1 else 1
        self._filter.extend(BoxFilter.start(boxes[rows]))
        self._ids = np.append(self._ids, np.zeros(n, np.int64))
        self._hits = np.append(self._hits, np.full(n, hits, np.int64))
        self._labels = np.append(self._labels, labels[rows])
        self._matched = np.append(self._matched, np.full(n, now, np.int64))
        self._lost = np.append(self._lost, np.zeros(n, np.bool_))

    def _name(self) -> None:
        """Gives ids to the tracks that are now confirmed."""
        ready = np.flatnonzero((self._ids == 0) & (self._hits >= self._confirm))
        self._ids[ready] = self._last_id + 1 + np.arange(len(ready))
        self._last_id += len(ready)

    def _result(self, detections: Detections, found: NDArray[np.intp]) -> Detections:
        ids = np.zeros(len(found), np.int64)
        rows = found >= 0
        ids[rows] = self._ids[found[rows]]
        kept = np.flatnonzero(ids > 0)
        return replace(detections.select(kept), track_ids=ids[kept])


def _wider(boxes: Floats, margin: float) -> Floats:
    """*boxes* wider by *margin* of their width on either side, and higher by half as much."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x, y = margin * width, margin / 2 * height
    return boxes + np.stack([-x, -y, x, y], axis=1)


def _overlaps(a: Floats, b: Floats) -> Floats:
    """IoU of each of *a* ``[n, 4]`` with each of *b* ``[m, 4]``: float64 ``[n, m]``."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0.0), axis=2)
    area_a = np.prod(np.maximum(a[:, 2:] - a[:, :2], 0.0), axis=1)
    area_b = np.prod(np.maximum(b[:, 2:] - b[:, :2], 0.0), axis=1)
    union = area_a[:, None] + area_b[None, :] - common
    return np.asarray(common / np.maximum(union, 1e-9))
