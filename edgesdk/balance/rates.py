"""Rates that forget."""

from __future__ import annotations

import math

from edgesdk.balance.settings import SECOND

__all__ = ["Rate"]

_MEMORY_NS = 10 * SECOND
_PAUSE_NS = 3 * _MEMORY_NS
"""After which what comes has begun anew."""


class Rate:
    """A sum that forgets: what was added lately, a second."""

    __slots__ = ("_at_ns", "_since_ns", "_sum")

    def __init__(self) -> None:
        self._sum = 0.0
        self._at_ns = 0
        self._since_ns = 0

    def add(self, amount: float, now_ns: int) -> None:
        """Counts *amount* at this instant."""
        if not self._sum or now_ns - self._at_ns > _PAUSE_NS:
            self._since_ns = now_ns
        self._sum = self._kept(now_ns) + amount
        self._at_ns = now_ns

    def a_second(self, now_ns: int) -> float:
        """The rate over the last seconds, older ones counting less."""
        return self._kept(now_ns) * (SECOND / _MEMORY_NS)

    def beginning(self, now_ns: int) -> float:
        """:meth:`a_second` for what has only begun: not too low because there was nothing before.

        The sum over the share of the memory that is filled (as Kingma and Ba correct the averages
        of Adam, 2015), of a second at least.
        """
        age = max(SECOND, now_ns - self._since_ns)
        return self.a_second(now_ns) / (1.0 - math.exp(-age / _MEMORY_NS))

    def _kept(self, now_ns: int) -> float:
        return self._sum * math.exp((self._at_ns - now_ns) / _MEMORY_NS) if self._sum else 0.0
