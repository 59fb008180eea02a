"""What a running node shows of itself: its counters at one moment, and live pictures on demand.

The runtime fills these types and implements :class:`NodeView`; the web surface and the live table
read them. Nothing here knows of either.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgesdk.records import ApplicationSummary, CameraState, EmulatedTimes, Placed, SinkStats
from edgesdk.values import Detections

__all__ = [
    "LATENCY_BOUNDS",
    "CameraView",
    "Histogram",
    "HistogramView",
    "NodeSnapshot",
    "NodeView",
    "OperatorView",
    "Preview",
    "PreviewFrame",
]

LATENCY_BOUNDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds in seconds, of latencies of frames and of operators."""


class HistogramView(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram at one moment.

    *counts* has one entry for each of *bounds* (values <= bound that exceed the one before) and a
    last one for what exceeds them all; *sum* is in the unit of *bounds*.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float


class Histogram:
    """Counts of values by bounds; thread-safe, bounded, allocates nothing when it observes."""

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def view(self) -> HistogramView:
        with self._lock:
            return HistogramView(bounds=self._bounds, counts=tuple(self._counts), sum=self._sum)


class CameraView(msgspec.Struct, frozen=True, kw_only=True):
    """A camera now. *uri* is free of credentials; *reason* says why it is not streaming."""

    state: CameraState
    uri: str
    reason: str | None = None
    frames: int = 0
    fps: float = 0.0
    incarnations: int = 0
    restarts: int = 0
    width: int = 0
    height: int = 0
    codec: str | None = None
    decode_errors: int = 0
    dropped_full: int = 0


class OperatorView(msgspec.Struct, frozen=True, kw_only=True):
    """A planned operator: *kind* as in the graph, *id* its hex operator id, *seconds* a run."""

    kind: str
    id: str
    seconds: HistogramView


class NodeSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A node at one moment.

    *ready* is true once every session is warm; *not_ready* says what is missing. *latency* is
    capture to result in seconds, by ``(application, camera)``. *queues* maps a queue's name to the
    entries waiting in it; *inferences* a card's name to the frames and crops it ran on. *placed*
    counts requests by where they were done.
    """

    name: str
    version: str
    seconds: float
    ready: bool
    not_ready: tuple[str, ...] = ()
    cameras: Mapping[str, CameraView] = {}
    applications: Mapping[str, ApplicationSummary] = {}
    latency: Mapping[tuple[str, str], HistogramView] = {}
    operators: Sequence[OperatorView] = ()
    queues: Mapping[str, int] = {}
    inferences: Mapping[str, int] = {}
    placed: Placed = Placed()
    sinks: Mapping[str, SinkStats] = {}
    emulated: EmulatedTimes | None = None


@dataclass(frozen=True, eq=False)
class PreviewFrame:
    """A frame and what was found in it.

    pixels: uint8, BGR ``[h, w, 3]`` or grey ``[h, w]``, never written by the reader, who drops it
    soon: it may hold a slot of the ring. detections: by ``"application.output"``. measurements:
    ``to_json()`` of the other outputs, by the same names.
    """

    incarnation: int
    sequence: int
    capture_utc_ns: int
    pixels: NDArray[np.uint8]
    detections: Mapping[str, Detections] = field(default_factory=dict)
    measurements: Mapping[str, Any] = field(default_factory=dict)


class Preview(Protocol):
    """Somebody looks at one camera; until :meth:`close` the runtime keeps its newest result."""

    def latest(self) -> PreviewFrame | None:
        """The newest frame, with its results if it passed, or None before the first.

        Never blocks.
        """

    def close(self) -> None:
        """Nobody looks any more; idempotent."""


class NodeView(Protocol):
    """What the web surface asks a node; every method may be called from any thread."""

    def snapshot(self) -> NodeSnapshot:
        """The counters now: takes well under a millisecond and waits for nothing slow."""

    def preview(self, camera: str) -> Preview:
        """Start to look at *camera*; raises KeyError where there is none of that name."""
