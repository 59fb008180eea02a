"""What the parts of one balancer share: who they are, their timers, and what they ask for."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from edgesdk.balance.actions import Action, Send
from edgesdk.balance.rates import Rate
from edgesdk.balance.settings import Settings
from edgesdk.balance.terms import Local

__all__ = ["Seat", "Timers"]


class Timers:
    """Callbacks in order of their instants; equal instants in order of asking."""

    __slots__ = ("_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[Any, int], None], Any]] = []
        self._serial = 0

    def at(self, when_ns: int, callback: Callable[[Any, int], None], what: Any = None) -> None:
        """*callback(what, now_ns)* is called by :meth:`run` from *when_ns* on; never cancelled,
        so it must see for itself whether it still means anything."""
        self._serial += 1
        heapq.heappush(self._heap, (when_ns, self._serial, callback, what))

    @property
    def next_ns(self) -> int | None:
        """The first instant, or None."""
        return self._heap[0][0] if self._heap else None

    def run(self, now_ns: int) -> None:
        """Calls what is due, each once."""
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            _, _, callback, what = heapq.heappop(heap)
            callback(what, now_ns)


class Seat:
    """A balancer's place in its cluster."""

    __slots__ = (
        "_sent",
        "actions",
        "doubts",
        "local",
        "node",
        "rng",
        "service_class",
        "settings",
        "site",
        "timers",
    )

    def __init__(
        self,
        settings: Settings,
        *,
        node: int,
        site: int,
        service_class: int,
        local: Local,
        rng: random.Random,
    ) -> None:
        self.settings = settings
        self.node = node
        self.site = site
        self.service_class = service_class
        self.local = local
        self.rng = rng
        self.timers = Timers()
        self.actions: list[Action] = []
        self._sent = Rate()
        self.doubts = 0
        """How often this node was found to have been held up itself."""

    def send(self, peer: int, data: bytes, now_ns: int) -> None:
        """A datagram for *peer*, on this node's account."""
        self._sent.add(len(data) + self.settings.overhead, now_ns)
        self.actions.append(Send(peer, data))

    def spent(self, now_ns: int) -> float:
        """Share of the control budget that the last seconds took."""
        return self._sent.a_second(now_ns) / self.settings.budget
