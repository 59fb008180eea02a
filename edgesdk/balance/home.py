"""A group's own node: the first place that is asked, and the last."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgesdk.balance.actions import Run
from edgesdk.balance.captives import Captives
from edgesdk.balance.demand import Demand
from edgesdk.balance.fairness import Fairness
from edgesdk.balance.seat import Seat
from edgesdk.balance.terms import Group

__all__ = ["Home"]


class Home:
    """Runs groups of this node on this node, where its scheduler finds room."""

    __slots__ = ("_captives", "_demand", "_fairness", "_seat", "_used", "kept")

    def __init__(
        self,
        seat: Seat,
        demand: Demand,
        fairness: Fairness,
        captives: Mapping[int, Captives],
        used: Callable[[int, int, int], None],
    ) -> None:
        """*captives* are by lane; *used* is told (model, cost, now) of each group that runs
        here."""
        self._seat = seat
        self._demand = demand
        self._fairness = fairness
        self._captives = captives
        self._used = used
        self.kept = 0

    def run_first(self, group: Group, now_ns: int, *, captive: bool = False) -> bool:
        """With headroom: whether *group* runs here without being offered to anyone.

        *captive*: nobody else could run it, so it is as headroom was kept for.
        """
        seat = self._seat
        settings = seat.settings
        self._fairness.heard(
            group.model, self._demand.served_share(group.model, now_ns), group.items, now_ns
        )
        left = group.deadline_ns - now_ns
        captives = self._captives[seat.local.lane(group.model)]
        if captive:
            cost = seat.local.cost_ns(group.model, group.items)
            captives.note(cost, left, now_ns)
            return self._run(group, 0, now_ns)
        strain = max(0.0, seat.local.utilisation() - 0.8) * settings.strain
        hurry = min(1.0, left / settings.ample_ns)
        headroom = int(left * (settings.headroom * hurry + strain))
        return self._run(group, max(headroom, captives.gap_ns(now_ns)), now_ns)

    def run(self, group: Group, now_ns: int) -> bool:
        """Without headroom: whether *group* runs here."""
        return self._run(group, 0, now_ns)

    def _run(self, group: Group, headroom_ns: int, now_ns: int) -> bool:
        local = self._seat.local
        model, items, deadline = group.model, group.items, group.deadline_ns
        cost = local.cost_ns(model, items)
        if not cost:
            return False
        spare = max(headroom_ns, self._fairness.gap_ns(model, now_ns))
        if now_ns + cost > deadline - spare:
            return False
        if spare:
            ends = local.quote(model, items, release_ns=now_ns, deadline_ns=deadline, now_ns=now_ns)
            if ends is None or ends > deadline - spare:
                return False
        promise = local.reserve(
            model, items, release_ns=now_ns, deadline_ns=deadline, now_ns=now_ns
        )
        if promise is None:
            return False
        self.kept += 1
        self._demand.ended(model, items, True, now_ns)
        self._used(model, cost, now_ns)
        self._seat.actions.append(Run(group, promise))
        return True
