"""Whose group goes over a full link next: start-time fair queueing by application weight.

Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996. Bytes sent by two applications that
both wait differ from their weights by at most one group each. A group is charged when it is sent,
not when it begins to wait: those that run out of time in the queue cost their application nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

__all__ = ["Turns"]

T = TypeVar("T")


class Turns(Generic[T]):
    """Things that want to send, each application's in order."""

    __slots__ = ("_finish", "_queues", "_virtual")

    def __init__(self) -> None:
        self._finish: dict[int, float] = {}
        self._queues: dict[int, deque[T]] = {}
        self._virtual = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values())) if self._queues else 0

    def charge(self, app: int, weight: float, payload_bytes: int) -> None:
        """A group of *app* goes out. A negative size takes one back that did not after all."""
        finish = self._finish
        if payload_bytes > 0:
            if len(finish) > 1024:
                self._finish = finish = {a: f for a, f in finish.items() if f > self._virtual}
            start = max(self._virtual, finish.get(app, 0.0))
            self._virtual = start
            finish[app] = start + payload_bytes / weight
        elif app in finish:
            finish[app] += payload_bytes / weight

    def wait(self, app: int, what: T) -> None:
        """*what* waits for its application's turn."""
        queue = self._queues.get(app)
        if queue is None:
            queue = self._queues[app] = deque()
        queue.append(what)

    def first(self, *, newest: bool = False) -> T:
        """Takes out whose turn it is, of one application the oldest or the *newest*; KeyError if
        none waits."""
        best, least = -1, float("inf")
        for app in self._queues:
            start = max(self._virtual, self._finish.get(app, 0.0))
            if start < least:
                best, least = app, start
        queue = self._queues[best]
        what = queue.pop() if newest else queue.popleft()
        if not queue:
            del self._queues[best]
        return what

    def again(self, app: int, what: T, *, newest: bool = False) -> None:
        """Back to where :meth:`first` took it from: its turn came, but the way was closed."""
        queue = self._queues.get(app)
        if queue is None:
            queue = self._queues[app] = deque()
        if newest:
            queue.append(what)
        else:
            queue.appendleft(what)
