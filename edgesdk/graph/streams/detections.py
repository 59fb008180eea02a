"""Streams of detections and of tracks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgesdk.graph import parameters as check
from edgesdk.graph.ground import plane_of
from edgesdk.graph.region import camera_of
from edgesdk.graph.streams.base import MeasurementStream, Stream
from edgesdk.values import Detections, Measurement

if TYPE_CHECKING:
    from typing_extensions import Self

    from edgesdk.graph.custom import Applicable

__all__ = ["DetectionStream", "Point", "TrackStream"]

W = TypeVar("W")
Point = tuple[float, float]
_ANCHORS = ("bottom", "centre")


class DetectionStream(Stream[Detections], gives="detections", what="detections"):
    """Detections: things found in a frame."""

    __slots__ = ()

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def apply(
            self,
            function: Applicable[Detections, Detections],
            /,
            *others: Stream[Any],
            **params: Any,
        ) -> Self: ...
        @overload
        def apply(
            self,
            function: Applicable[Detections, Measurement],
            /,
            *others: Stream[Any],
            **params: Any,
        ) -> MeasurementStream: ...
        @overload
        def apply(
            self, function: Applicable[Detections, W], /, *others: Stream[Any], **params: Any
        ) -> Stream[W]: ...
        def apply(self, function: Any, /, *others: Stream[Any], **params: Any) -> Any:
            """See :meth:`Stream.apply`; detections from tracks are tracks."""

    @check.call_checked
    def filter(
        self,
        *,
        classes: Sequence[str] | str | None = None,
        score: float = 0.0,
        zone: Sequence[Point] | None = None,
        min_size: float | Point | None = None,
        max_size: float | Point | None = None,
        anchor: str = "bottom",
    ) -> Self:
        """The detections that answer every condition.

        zone: a polygon, points (x, y) in [0, 1], that must contain the box's *anchor*, ``bottom``
        (the middle of its lower edge: feet) or ``centre``. min_size, max_size: (width, height), or
        a height, in [0, 1] of the frame.
        """
        params = {
            "classes": check.names("filter", "classes", classes),
            "score": check.number("filter", "score", score, low=0, high=1),
            "zone": None if zone is None else check.points("filter", "zone", zone, least=3),
            "anchor": check.choice("filter", "anchor", anchor, _ANCHORS),
            "min_size": check.size("filter", "min_size", min_size),
            "max_size": check.size("filter", "max_size", max_size),
        }
        node = self._add("filter", "value", self._node.gives, params)
        return type(self)(node, self._selectors)

    @check.call_checked
    def classify(self, model: str, *, top: int = 1, name: str = "class", pad: float = 0.0) -> Self:
        """What *model* says of each detection's crop, as column *name*.

        The column holds ``{"label", "label_id", "score"}``, or a list of *top* such where that is
        above 1. pad: by how much of its width and height the crop is wider on each side.
        """
        best = int(check.number("classify", "top", top, low=1, high=1000, whole=True))
        return self._on_crops("classify", model, {"top": best}, name, pad)

    @check.call_checked
    def embed(self, model: str, *, name: str = "embedding", pad: float = 0.0) -> Self:
        """The vector that *model* makes of each detection's crop, as column *name*."""
        return self._on_crops("embed", model, {"top": None}, name, pad)

    def _on_crops(
        self, kind: str, model: str, params: dict[str, Any], name: str, pad: float
    ) -> Self:
        column = check.text(kind, "name", name, "a column's name")
        if column in ("box", "score", "label_id", "label", "track_id"):
            raise check.wrong(kind, "name", name, "a name that detections do not use themselves")
        wider = check.number(kind, "pad", pad, low=0, high=2)
        reference = check.text(kind, "model", model, "a model's name, sha256:..., or requirements")
        whole = camera_of(self._node)
        crops = self._add(
            kind,
            "inference",
            f"{kind}-crops",
            {"pad": wider},
            inputs=(whole, self._node),
            model=reference,
        )
        node = self._add(
            "attach",
            "value",
            self._node.gives,
            {"name": column, **params},
            inputs=(self._node, crops),
        )
        return type(self)(node, self._selectors)

    @check.call_checked
    def track(
        self,
        *,
        high: float = 0.5,
        low: float = 0.1,
        start: float = 0.6,
        overlap: float = 0.2,
        lost: float | str = "2s",
        confirm: int = 2,
    ) -> TrackStream:
        """ByteTrack (Zhang et al., ECCV 2022): detections that belong together get one track id.

        high: score from which a detection is matched first; those from *low* to *high* may only
        continue a track. start: score from which one begins a track. overlap: least IoU of a match
        of the first kind. lost: capture time for which a track is remembered unseen. confirm:
        frames in a row before a new track counts (those of the first frame count at once). Ids
        begin at 1 in each stream. Detections without a track are left out.
        """
        params = {
            "high": check.number("track", "high", high, low=0, high=1),
            "low": check.number("track", "low", low, low=0, high=1),
            "start": check.number("track", "start", start, low=0, high=1),
            "overlap": check.number("track", "overlap", overlap, low=0, high=1),
            "lost_ns": check.seconds("track", "lost", lost, zero=True),
            "confirm": int(check.number("track", "confirm", confirm, low=1, high=100, whole=True)),
        }
        if params["low"] > params["high"]:
            raise check.wrong("track", "low", low, f"at most high, which is {high:g}")
        return TrackStream(self._add("track", "stateful", "tracks", params), self._selectors)


class TrackStream(DetectionStream, gives="tracks", what="tracks"):
    """Detections with track ids."""

    __slots__ = ()

    def _measure(self, kind: str, params: dict[str, Any]) -> MeasurementStream:
        node = self._add(kind, "stateful", "measurement", params)
        return MeasurementStream(node, self._selectors)

    @check.call_checked
    def count(self) -> MeasurementStream:
        """``now``: tracks in this frame; ``total``: tracks since the start."""
        return self._measure("count", {})

    @check.call_checked
    def line_count(
        self, *, line: Sequence[Point], margin: float = 0.01, anchor: str = "bottom"
    ) -> MeasurementStream:
        """Crossings of *line*, from (x1, y1) to (x2, y2): ``in`` and ``out``.

        Seen along the line, ``in`` is from its left to its right; ``out`` back. A track counts once
        it is *margin* (of the frame's height) beyond the line, so that a box that trembles on it
        does not count.
        """
        ends = check.points("line_count", "line", line, least=2, exactly=True)
        return self._measure(
            "line_count",
            {
                "line": ends,
                "margin": check.number("line_count", "margin", margin, low=0, high=0.5),
                "anchor": check.choice("line_count", "anchor", anchor, _ANCHORS),
            },
        )

    @check.call_checked
    def zone_count(self, *, polygon: Sequence[Point], anchor: str = "bottom") -> MeasurementStream:
        """``now``: tracks inside *polygon*; ``total``: tracks that have been in it."""
        corners = check.points("zone_count", "polygon", polygon, least=3)
        chosen = check.choice("zone_count", "anchor", anchor, _ANCHORS)
        return self._measure("zone_count", {"polygon": corners, "anchor": chosen})

    @check.call_checked
    def dwell(
        self, *, polygon: Sequence[Point] | None = None, anchor: str = "bottom"
    ) -> MeasurementStream:
        """How long each track has been in view, or inside *polygon*: seconds of capture time.

        Gives ``tracks`` (a list of ``{"track_id", "seconds"}``), ``now``, ``mean`` and ``max``.
        """
        corners = None
        if polygon is not None:
            corners = check.points("dwell", "polygon", polygon, least=3)
        chosen = check.choice("dwell", "anchor", anchor, _ANCHORS)
        return self._measure("dwell", {"polygon": corners, "anchor": chosen})

    @check.call_checked
    def speed(
        self,
        *,
        scale: float | Sequence[Sequence[float]],
        over: float | str = "1s",
        name: str = "speed",
    ) -> TrackStream:
        """Each track's speed on the ground, metres a second, as column *name* (null at first).

        scale: metres a pixel; or a homography, 3 rows of 3 numbers, that takes (x, y, 1) in [0, 1]
        of the frame to metres on the ground (:func:`edgesdk.ground_plane` makes one). over: the
        capture time over which a speed is taken. The box's lower middle is what moves.
        """
        params = {
            "scale": plane_of(scale),
            "over_ns": check.seconds("speed", "over", over),
            "name": check.text("speed", "name", name, "a column's name"),
        }
        node = self._add("speed", "stateful", "tracks", params)
        return TrackStream(node, self._selectors)
