"""Virtual time: events in the order of their instants, equal ones in that of their making."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

__all__ = ["Engine"]


class Engine:
    """A queue of calls to come. Not thread-safe; instants are ns since the start."""

    def __init__(self) -> None:
        self.now = 0
        self.events = 0
        self._order = 0
        self._calls: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, instant: int, call: Callable[..., None], *arguments: Any) -> None:
        """Calls at *instant*, or now if that is past. There is no cancelling: a call that may
        have become void finds out itself."""
        self._order += 1
        heappush(self._calls, (max(instant, self.now), self._order, call, arguments))

    def run(self, until: int) -> None:
        """Runs everything that is due by *until* and leaves the clock there."""
        calls = self._calls
        while calls and calls[0][0] <= until:
            self.now, _, call, arguments = heappop(calls)
            self.events += 1
            call(*arguments)
        self.now = until
