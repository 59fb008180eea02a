"""Rates that forget."""

from __future__ import annotations

import math

from edgesdk.balance.settings import SECOND

__all__ = ["Rate"]

_MEMORY_NS = 10 * SECOND


class Rate:
    """A sum that forgets: what was added lately, a second."""

    __slots__ = ("_at_ns", "_sum")

    def __init__(self) -> None:
        self._sum = 0.0
        self._at_ns = 0

    def add(self, amount: float, now_ns: int) -> None:
        """Counts *amount* at this instant."""
        self._sum = self._kept(now_ns) + amount
        self._at_ns = now_ns

    def a_second(self, now_ns: int) -> float:
        """The rate over the last seconds, older ones counting less."""
        return self._kept(now_ns) * (SECOND / _MEMORY_NS)

    def _kept(self, now_ns: int) -> float:
        return self._sum * math.exp((self._at_ns - now_ns) / _MEMORY_NS) if self._sum else 0.0
