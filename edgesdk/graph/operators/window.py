"""Aggregates over time."""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec

from edgesdk.errors import GraphError
from edgesdk.graph.frames import FrameInfo
from edgesdk.graph.operators.carried import Carried, Count, Nanoseconds, finite, read_state
from edgesdk.values import Classification, Detections, Measurement

__all__ = ["Window"]


class _Sums(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    frames: Count
    n: Count
    total: float
    least: float
    most: float
    last: float


class _Windows(Carried, frozen=True):
    """begin_ns: of the open window; None before the first frame."""

    begin_ns: Nanoseconds | None
    length_ns: Annotated[int, msgspec.Meta(ge=1)]
    open: _Sums
    closed: _Sums


class Window:
    """Aggregates over windows of capture time (CLOCK_MONOTONIC, or in a recording counted from its
    first frame), end to end, from k times length.

    ``value`` is that of the last whole window (null before there is one, or if it had no numbers),
    ``frames`` the frames in it, ``running`` the aggregate of the window that is open. Windows that
    came with the stream from another node keep the bounds they had there.
    """

    def __init__(self, *, nanoseconds: int, aggregate: str, field: str | None) -> None:
        self._nanoseconds = nanoseconds
        self._aggregate = aggregate
        self._field = field
        self._window: int | None = None
        self._open = _Running()
        self._closed = _Running()
        self._phase_ns = 0
        self._begin_ns: int | None = None  # of the open window
        self._came = False

    def export_state(self) -> dict[str, Any]:
        return {
            "v": 1,
            "begin_ns": self._begin_ns,
            "length_ns": self._nanoseconds,
            "open": self._open.export_state(),
            "closed": self._closed.export_state(),
        }

    def import_state(self, state: Any, ahead_ns: int = 0) -> None:
        came = read_state(state, _Windows)
        if came.length_ns != self._nanoseconds:
            raise ValueError("a state of windows of another length")
        self._open, self._closed = _Running.of(came.open), _Running.of(came.closed)
        self._came = came.begin_ns is not None
        self._begin_ns = None if came.begin_ns is None else came.begin_ns + ahead_ns

    def step(self, value: Any, info: FrameInfo) -> Measurement:
        if self._came and self._begin_ns is not None:
            self._came = False
            self._phase_ns = (self._begin_ns - info.origin_ns) % self._nanoseconds
            self._window = self._number(self._begin_ns, info)
        window = self._number(info.capture_mono_ns, info)
        if self._window is not None and window != self._window:
            # Nothing came in the windows between: the last whole one is empty then.
            self._closed = self._open if window == self._window + 1 else _Running()
            self._open = _Running()
        self._window = window
        self._begin_ns = info.origin_ns + self._phase_ns + window * self._nanoseconds
        for number in self._numbers(value):
            self._open.add(number)
        self._open.frames += 1
        return Measurement(
            "window",
            {
                "aggregate": self._aggregate,
                "seconds": self._nanoseconds / 1e9,
                "value": self._closed.result(self._aggregate),
                "frames": self._closed.frames,
                "running": self._open.result(self._aggregate),
            },
        )

    def _number(self, at_ns: int, info: FrameInfo) -> int:
        return (at_ns - info.origin_ns - self._phase_ns) // self._nanoseconds

    def _numbers(self, value: Any) -> list[float]:
        field = self._field
        if isinstance(value, Detections):
            if field is None or field == "count":
                return [float(len(value))]
            if field == "score":
                return [float(score) for score in value.scores]
            if field in value.attributes:
                return [float(v) for v in value.attributes[field] if _is_number(v)]
            return []
        if isinstance(value, Classification):
            return [value.scores[0]] if value.scores else []
        if isinstance(value, Measurement):
            if field is not None:
                found = value.fields.get(field)
                return [float(found)] if found is not None and _is_number(found) else []
            numbers = [float(v) for v in value.fields.values() if _is_number(v)]
            if len(numbers) > 1:
                raise GraphError(
                    f"window: the measurement {value.kind!r} has several numbers; name one: "
                    f"window(field=...), one of {', '.join(value.fields)}"
                )
            return numbers
        return [float(value)] if _is_number(value) else []


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class _Running:
    """Five aggregates of numbers as they come, in constant memory."""

    def __init__(self) -> None:
        self.frames = 0
        self._n = 0
        self._sum = 0.0
        self._least = math.inf
        self._most = -math.inf
        self._last = 0.0

    def export_state(self) -> list[Any]:
        if not self._n:
            return [self.frames, 0, 0.0, 0.0, 0.0, 0.0]
        return [self.frames, self._n, self._sum, self._least, self._most, self._last]

    @classmethod
    def of(cls, sums: _Sums) -> _Running:
        finite(sums.total, sums.least, sums.most, sums.last)
        found = cls()
        found.frames = sums.frames
        if sums.n:
            found._n, found._sum, found._last = sums.n, sums.total, sums.last
            found._least, found._most = sums.least, sums.most
        return found

    def add(self, number: float) -> None:
        self._n += 1
        self._sum += number
        self._least = min(self._least, number)
        self._most = max(self._most, number)
        self._last = number

    def result(self, aggregate: str) -> float | None:
        if not self._n:
            return None
        found = {
            "mean": self._sum / self._n,
            "max": self._most,
            "min": self._least,
            "sum": self._sum,
            "last": self._last,
        }[aggregate]
        return round(found, 6)
