"""Which models this node holds: loads what is missed, in proportion and at random.

A load takes seconds, a thousand nodes see the same need: each loads with the probability that
makes the expected loads meet it (315 loads instead of 881 after a shift of half the cameras). News
of a need outlive it by seconds, so what peers in view have to spare for it is taken off first
(0.97 loads a node instead of 1.53 at 64 nodes, and back sooner, since fewer models are put out).
"""

from __future__ import annotations

from edgesdk.balance.actions import Evict, Load
from edgesdk.balance.demand import Demand
from edgesdk.balance.estimate import Costs
from edgesdk.balance.links import Links
from edgesdk.balance.rates import Rate
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import SECOND
from edgesdk.balance.terms import key_of
from edgesdk.balance.view import View

__all__ = ["Placement"]

_GROUP = 4
"""Items that stand for a usual group where a cost is compared."""
_FULL = 0.85
"""Utilisation from which on a node has nothing to spare."""
_HOLDERS = 0.5
"""Part of a holder's spare time that counts: others, out of view, count on it too."""


class Placement:
    """The residents of this node."""

    __slots__ = ("_asked_ns", "_costs", "_demand", "_links", "_loading", "_seat", "_use", "_view")

    def __init__(self, seat: Seat, view: View, links: Links, costs: Costs, demand: Demand) -> None:
        self._seat = seat
        self._view = view
        self._links = links
        self._costs = costs
        self._demand = demand
        self._use: dict[int, Rate] = {}
        self._loading = 0
        self._asked_ns = 0

    def start(self, now_ns: int) -> None:
        """From here on it looks every two seconds."""
        wait = self._seat.settings.placement_ns
        self._seat.timers.at(now_ns + int(wait * (1 + self._seat.rng.random())), self._look)

    def used(self, model: int, work_ns: int, now_ns: int) -> None:
        """A group of *model*, of anyone, runs here."""
        use = self._use.get(model)
        if use is None:
            use = self._use[model] = Rate()
        use.add(work_ns / SECOND, now_ns)

    def loading(self, now_ns: int) -> tuple[int, int]:
        """(model, when it will be ready) of the load under way; zeros if there is none."""
        if self._loading:
            ready = self._seat.local.ready_ns(self._loading)
            if ready is not None:
                return self._loading, ready
            if now_ns - self._asked_ns > SECOND:
                self._loading = 0
        return 0, 0

    def _look(self, _: object, now_ns: int) -> None:
        seat = self._seat
        settings = seat.settings
        jitter = 0.9 + 0.2 * seat.rng.random()
        seat.timers.at(now_ns + int(settings.placement_ns * jitter), self._look)
        local = seat.local
        busy = local.utilisation()
        # Over a narrow network others could not use what is loaded for them, nor serve what is put
        # out for it; a window of two leaves time to be sure.
        if self._links.narrow(now_ns, 2.0):
            return
        if busy >= settings.placement_below or self.loading(now_ns)[0] or self._loading:
            return
        needs = self._needs(now_ns)
        held = local.residents()
        best, work = 0, 0.0
        for model in local.loadable():
            rate = needs.get(key_of(model), 0.0)
            if not rate or model in held:
                continue
            cost = local.expected_ns(model, _GROUP)
            if not cost or cost > 0.6 * self._demand.deadline_ns:
                continue
            rate -= self._covered(model, now_ns)
            need = rate * cost / _GROUP / SECOND
            if need > work:
                best, work = model, need
        if not best:
            return
        spare = (1.0 - busy) * 0.8 + 0.5 * self._spare_of_others(best, now_ns)
        if seat.rng.random() >= work / spare:
            return
        victim = 0
        if len(held) >= local.slots():
            victim = self._victim(min(work, 1.0 - busy), now_ns)
            if not victim:
                return
        if victim:
            seat.actions.append(Evict(victim))
            self._use.pop(victim, None)
        seat.actions.append(Load(best))
        self._loading = best
        self._asked_ns = now_ns

    def _needs(self, now_ns: int) -> dict[int, float]:
        """Items missed a second, by key: this node's and those of its view."""
        needs: dict[int, float] = {}
        for model, rate in self._demand.missed(now_ns):
            key = key_of(model)
            needs[key] = needs.get(key, 0.0) + rate
        oldest = now_ns - 3 * self._seat.settings.period_ns
        for peer in self._view.watched.values():
            digest = peer.digest
            if digest is not None and digest.missed_rate and peer.heard_ns > oldest:
                needs[digest.missed] = needs.get(digest.missed, 0.0) + digest.missed_rate
        return needs

    def _covered(self, model: int, now_ns: int) -> float:
        """Items a second of *model* that peers in view will serve, or could already."""
        key = key_of(model)
        oldest = now_ns - 3 * self._seat.settings.period_ns
        slowest = 0.6 * self._demand.deadline_ns
        items = 0.0
        for peer in self._view.watched.values():
            digest = peer.digest
            if digest is None or peer.heard_ns < oldest or digest.utilisation >= _FULL:
                continue
            part = 0.0
            if digest.loading == key:
                part = 1.0
            elif key in peer.keys and digest.missed != key:
                part = _HOLDERS
            cost = part and (
                self._costs.of(peer, (model, _GROUP)) or self._seat.local.expected_ns(model, _GROUP)
            )
            if cost and cost <= slowest:
                items += part * (_FULL - digest.utilisation) * _GROUP * SECOND / cost
        return items

    def _spare_of_others(self, model: int, now_ns: int) -> float:
        """Idle share, summed over peers in view that may be about to load it too."""
        settings = self._seat.settings
        key = key_of(model)
        oldest = now_ns - 3 * settings.period_ns
        slowest = 0.6 * self._demand.deadline_ns
        spare = 0.0
        for peer in self._view.watched.values():
            digest = peer.digest
            if digest is None or peer.heard_ns < oldest or key in peer.keys:
                continue
            if digest.utilisation >= settings.placement_below:
                continue
            if self._costs.of(peer, (model, _GROUP)) <= slowest:
                spare += 1.0 - digest.utilisation
        return spare

    def _victim(self, gain: float, now_ns: int) -> int:
        """The resident used least, if its use is under half of the gain and others hold it."""
        least, victim = gain / 2, 0
        for model in self._seat.local.residents():
            use = self._use.get(model)
            share = use.a_second(now_ns) if use is not None else 0.0
            if share < least and self._view.holders(key_of(model)):
                least, victim = share, model
        return victim
