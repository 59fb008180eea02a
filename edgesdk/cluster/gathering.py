"""Requests of one camera gathered into groups while the node is busy: a batch pays its start once.

A node with nothing to do gathers nothing. Neither does one whose model gains nothing by batches,
nor one whose deadlines leave no time to wait. Pure but for the costs it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgesdk.balance.grouping import GROUP_MAX, group_size
from edgesdk.runtime.request import Request

__all__ = ["Gathering"]

Key = tuple[str, str]  # camera and operator

# A batch is worth waiting for where it makes an item at least so much cheaper.
_WORTH = 0.85
_STREAMS = 1024


@dataclass(slots=True)
class _Stream:
    last_ns: int | None = None
    period_ns: int = 0
    held: list[Request] = field(default_factory=list)
    due_ns: int = 0


class Gathering:
    """Not thread-safe. cost_ns: of so many items of a request's model here, 0 if unknown."""

    def __init__(self, cost_ns: Callable[[Request, int], int]) -> None:
        self._cost_ns = cost_ns
        self._streams: dict[Key, _Stream] = {}

    def add(self, request: Request, now_ns: int, *, idle: bool) -> list[list[Request]]:
        """Takes *request* in; the groups that are complete now, the older first. *idle*: the node
        could begin at once."""
        terms = request.terms
        assert terms is not None
        stream = self._stream((terms.camera, terms.operator))
        if stream.last_ns is not None:
            gap = now_ns - stream.last_ns
            stream.period_ns = (3 * stream.period_ns + gap) // 4 if stream.period_ns else gap
        stream.last_ns = now_ns
        ready: list[list[Request]] = []
        held = stream.held
        if held and held[0].options != request.options:
            ready.append(held)
            held = stream.held = []
        held.append(request)
        known = stream.period_ns and not idle
        size = self._size(request, stream.period_ns, now_ns) if known else 1
        if sum(len(r.pictures) for r in held) >= size:
            ready.append(held)
            stream.held = []
        elif len(held) == 1:
            stream.due_ns = now_ns + (size - 1) * stream.period_ns * 5 // 4
        return ready

    def due(self, now_ns: int) -> list[list[Request]]:
        """The groups that waited long enough for frames that did not come."""
        ready = []
        for stream in self._streams.values():
            if stream.held and stream.due_ns <= now_ns:
                ready.append(stream.held)
                stream.held = []
        return ready

    def take_all(self) -> list[Request]:
        """What is held, at the end."""
        left = [request for stream in self._streams.values() for request in stream.held]
        self._streams.clear()
        return left

    @property
    def next_ns(self) -> int | None:
        """When :meth:`due` wants to be called."""
        return min((s.due_ns for s in self._streams.values() if s.held), default=None)

    def _size(self, request: Request, period_ns: int, now_ns: int) -> int:
        one = self._cost_ns(request, 1)
        if not one or self._cost_ns(request, 4) > 4 * one * _WORTH:
            return 1
        return group_size(
            deadline_ns=request.deadline_ns - now_ns,
            period_ns=period_ns,
            cost_ns=lambda n: self._cost_ns(request, n),
            most=GROUP_MAX,
        )

    def _stream(self, key: Key) -> _Stream:
        found = self._streams.get(key)
        if found is None:
            if len(self._streams) >= _STREAMS:
                # Cameras that were removed: those that hold nothing are made anew when they come.
                self._streams = {k: s for k, s in self._streams.items() if s.held}
            found = self._streams[key] = _Stream()
        return found
