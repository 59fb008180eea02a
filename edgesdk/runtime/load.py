"""How busy a device is: what runs on it, and for how much of the last seconds something did."""

from __future__ import annotations

import math

__all__ = ["Load"]

_MEMORY_NS = 2_000_000_000


class Load:
    """Of one device with *lanes* batches in flight. Not thread-safe; times are instants."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self._ends_ns = [0] * lanes
        self._running = 0
        self._at_ns = 0
        self._share = 0.0

    def began(self, lane: int, now_ns: int, ends_ns: int) -> None:
        """A batch, which is expected to end at *ends_ns*."""
        self._advance(now_ns)
        self._ends_ns[lane] = ends_ns
        self._running += 1

    def ended(self, lane: int, now_ns: int) -> None:
        """The batch of *lane*."""
        self._advance(now_ns)
        self._ends_ns[lane] = 0
        self._running -= 1

    def running_ns(self, now_ns: int) -> int:
        """What is left of the batches in flight, added up."""
        return sum(max(0, ends - now_ns) for ends in self._ends_ns)

    def utilisation(self, now_ns: int) -> float:
        """The part of the time that something ran, older times weighing less (2 s)."""
        self._advance(now_ns)
        return self._share

    def _advance(self, now_ns: int) -> None:
        past = math.exp(min(0, self._at_ns - now_ns) / _MEMORY_NS)
        self._share = past * self._share + (1.0 - past) * (self._running > 0)
        self._at_ns = now_ns
