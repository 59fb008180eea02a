"""What watchers are told out of turn: news that they would act on, seconds before gossip's turn.

Gossip comes every eight seconds. A model that was just loaded serves nobody until it is known, and
a camera that just began to miss a model waits for nodes that do not know of it; both happen seldom,
so telling them at once costs little.
"""

from __future__ import annotations

from edgesdk.balance.demand import Demand
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import SECOND
from edgesdk.balance.view import View

__all__ = ["Announcing"]

_LOOK_NS = SECOND // 4
_LEAST_RATE = 1.0
_LEAST_SHARE = 0.8
_GROWN = 2.0
"""A need is news again once it is so many times as large as when it was told."""


class Announcing:
    """This node's news. At most one announcement in ``settings.news_ns``; of needs, none once half
    of the control budget is used."""

    __slots__ = ("_demand", "_look_ns", "_missed", "_rate", "_seat", "_told_ns", "_view", "_waits")

    def __init__(self, seat: Seat, view: View, demand: Demand) -> None:
        self._seat = seat
        self._view = view
        self._demand = demand
        self._told_ns = -SECOND << 8
        self._look_ns = 0
        self._waits = False
        self._missed = 0
        self._rate = 0.0

    def residents(self, now_ns: int) -> None:
        """What this node holds has changed."""
        if self._waits:
            return
        due = self._told_ns + self._seat.settings.news_ns
        if due <= now_ns:
            self._tell(None, now_ns)
        else:
            self._waits = True
            self._seat.timers.at(due, self._tell)

    def needs(self, now_ns: int) -> None:
        """A group ended, perhaps without being served."""
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + _LOOK_NS
        model, rate, served = self._demand.worst(now_ns)
        if model != self._missed:
            self._rate = 0.0
        elif rate < self._rate:
            self._rate = rate
        if (
            rate < max(_LEAST_RATE, _GROWN * self._rate)
            or served > _LEAST_SHARE
            or self._waits
            or now_ns < self._told_ns + self._seat.settings.news_ns
            or self._seat.spent(now_ns) > 0.5
        ):
            return
        self._missed, self._rate = model, rate
        self._tell(None, now_ns)

    def _tell(self, _: object, now_ns: int) -> None:
        self._waits = False
        self._told_ns = now_ns
        self._view.tell_watchers(now_ns)
