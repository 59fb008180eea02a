"""Whose group goes over a full link next: start-time fair queueing by application weight.

Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996. Bytes sent by two applications that
both wait differ from their weights by at most one group each.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

__all__ = ["Turns"]

T = TypeVar("T")


class Turns(Generic[T]):
    """A queue of things that want to send."""

    __slots__ = ("_finish", "_heap", "_serial", "_virtual")

    def __init__(self) -> None:
        self._finish: dict[int, float] = {}
        self._heap: list[tuple[float, int, T]] = []
        self._serial = 0
        self._virtual = 0.0

    def __len__(self) -> int:
        return len(self._heap)

    def tag(self, app: int, weight: float, payload_bytes: int) -> float:
        """Charges *app* for a group, and says where in the order that puts it."""
        start = max(self._virtual, self._finish.get(app, 0.0))
        if len(self._finish) > 1024:
            self._finish = {a: f for a, f in self._finish.items() if f > self._virtual}
        self._finish[app] = start + payload_bytes / weight
        return start

    def refund(self, app: int, weight: float, payload_bytes: int) -> None:
        """A group that was charged was not sent."""
        if app in self._finish:
            self._finish[app] -= payload_bytes / weight

    def passes(self, tag: float) -> None:
        """A group with this tag goes out without having waited."""
        self._virtual = max(self._virtual, tag)

    def wait(self, tag: float, what: T) -> None:
        """*what* waits for its turn."""
        self._serial += 1
        heapq.heappush(self._heap, (tag, self._serial, what))

    def first(self) -> T:
        """Takes out whose turn it is; IndexError if none waits."""
        tag, _, what = heapq.heappop(self._heap)
        self.passes(tag)
        return what
