"""Who goes first where not everything can be served: the model that fares worst.

Earliest deadline first with an exact test sheds the heavy models: a short group finds a gap where a
long one does not (at load 1.3 the worst model was left with 0.22 of its frames). So each offer says
how much of its model its origin gets served, and a node that holds several models keeps a gap for
the one that fares worst: groups of a model that fares better must leave that much of their time.
"""

from __future__ import annotations

from edgesdk.balance.links import Links
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import SECOND

__all__ = ["Fairness"]

_FRESH_NS = 10 * SECOND


class Fairness:
    """What is heard of how models fare, for the models that this node holds."""

    __slots__ = ("_links", "_seat", "_shares")

    def __init__(self, seat: Seat, links: Links) -> None:
        self._seat = seat
        self._links = links
        self._shares: dict[int, tuple[float, int, int]] = {}
        """model -> (share served, items of its groups, when heard last)"""

    def heard(self, model: int, share: float, items: int, now_ns: int) -> None:
        """An origin gets *share* of the items of *model* served."""
        known = self._shares.get(model)
        if known is None or now_ns - known[2] > _FRESH_NS:
            if len(self._shares) >= 256:
                del self._shares[next(iter(self._shares))]
        else:
            share = known[0] + (share - known[0]) * 0.1
        self._shares[model] = (share, items, now_ns)

    def share(self, model: int) -> float:
        """Of *model*, as heard; 1 where nothing was."""
        known = self._shares.get(model)
        return known[0] if known is not None else 1.0

    def gap_ns(self, model: int, now_ns: int) -> int:
        """What a group of *model* must leave free before its deadline for worse-off models: nothing
        where the network is what there is too little of."""
        if self._links.narrow(now_ns):
            return 0
        shares = self._shares
        own = shares[model][0] if model in shares else 1.0
        local = self._seat.local
        settings = self._seat.settings
        worst, cost, total, count = 1.0, 0, own, 1
        lane = local.lane(model)
        for other in (*local.residents(), *local.installed()):
            known = shares.get(other)
            if known is None or other == model or now_ns - known[2] > _FRESH_NS:
                continue
            if local.lane(other) != lane:
                continue
            total += known[0]
            count += 1
            if known[0] < worst:
                worst, cost = known[0], local.cost_ns(other, known[1])
        # One model that fares badly among others that do not is too slow for its deadline here;
        # to make room for it would cost more than it gains. Overload is when all lack something.
        strained = min(1.0, max(0.0, settings.overload - total / count) * 10)
        behind = min(own, settings.fair_share) - worst
        if not strained or behind <= 0.0:
            return 0
        return int(cost * strained * min(2.0, behind * settings.fairness))
