"""Quantiles of durations in bounded memory.

Buckets grow by 1/16 of a power of two (as in HdrHistogram), so a quantile is at most 4.5 % above
the true one; a histogram is 1,040 integers however many values it has seen.
"""

from __future__ import annotations

__all__ = ["Durations"]

_SUB_BITS = 4
_SUB = 1 << _SUB_BITS
_BUCKETS = (64 - _SUB_BITS + 1) * _SUB


class Durations:
    """A histogram of nanoseconds. One thread writes; others may read."""

    __slots__ = ("_buckets", "count", "maximum", "total_ns")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self.count = 0
        self.total_ns = 0
        self.maximum = 0

    def add(self, ns: int) -> None:
        """Counts one duration; a negative one (a clock that stepped) counts as 0."""
        ns = min(max(ns, 0), (1 << 63) - 1)
        self._buckets[_bucket(ns)] += 1
        self.count += 1
        self.total_ns += ns
        self.maximum = max(self.maximum, ns)

    def quantile(self, q: float) -> int | None:
        """The smallest bucket bound that *q* of the values do not exceed; None without values."""
        if self.count == 0:
            return None
        left = max(1, round(q * self.count))
        for index, n in enumerate(self._buckets):
            left -= n
            if left <= 0:
                return min(_upper(index), self.maximum)
        return self.maximum

    def ms(self, q: float) -> float | None:
        """:meth:`quantile` in milliseconds, for people and documents."""
        ns = self.quantile(q)
        return None if ns is None else round(ns / 1e6, 3)


def _bucket(ns: int) -> int:
    if ns < _SUB:
        return ns
    shift = ns.bit_length() - _SUB_BITS - 1
    return (shift + 1) * _SUB + (ns >> shift) - _SUB


def _upper(index: int) -> int:
    if index < _SUB:
        return index
    shift, offset = divmod(index, _SUB)
    return ((_SUB + offset + 1) << (shift - 1)) - 1
