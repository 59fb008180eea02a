"""Aggregates over time."""

from __future__ import annotations

import math
from typing import Any

from edgesdk.errors import GraphError
from edgesdk.graph.frames import FrameInfo
from edgesdk.values import Classification, Detections, Measurement

__all__ = ["Window"]


class Window:
    """Aggregates over windows of capture time (CLOCK_MONOTONIC, or in a recording counted from its
    first frame), end to end, from k times length.

    ``value`` is that of the last whole window (null before there is one, or if it had no numbers),
    ``frames`` the frames in it, ``running`` the aggregate of the window that is open.
    """

    def __init__(self, *, nanoseconds: int, aggregate: str, field: str | None) -> None:
        self._nanoseconds = nanoseconds
        self._aggregate = aggregate
        self._field = field
        self._window: int | None = None
        self._open = _Running()
        self._closed = _Running()

    def step(self, value: Any, info: FrameInfo) -> Measurement:
        window = (info.capture_mono_ns - info.origin_ns) // self._nanoseconds
        if self._window is not None and window != self._window:
            # Nothing came in the windows between: the last whole one is empty then.
            self._closed = self._open if window == self._window + 1 else _Running()
            self._open = _Running()
        self._window = window
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
