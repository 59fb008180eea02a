"""Which peers could serve a group in time, and a weighted draw among them.

Never the argmin of what they told: states are seconds old, so all would choose the same one
(Mitzenmacher, "How useful is old information?", 2000). The least flexible peer is preferred: one
with four models is wanted by more groups than one with a single model.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgesdk.balance.estimate import Costs
from edgesdk.balance.links import Links
from edgesdk.balance.peers import Peer
from edgesdk.balance.seat import Seat
from edgesdk.balance.terms import Group, Reach, key_of
from edgesdk.balance.view import View

__all__ = ["Candidates"]


class Candidates:
    """Chooses whom to ask."""

    __slots__ = ("_costs", "_links", "_seat", "_view")

    def __init__(self, seat: Seat, view: View, links: Links, costs: Costs) -> None:
        self._seat = seat
        self._view = view
        self._links = links
        self._costs = costs

    def captive(self, group: Group) -> bool:
        """Whether the rules of *group*, not a lack of time, keep it from every known peer."""
        if group.reach == Reach.NODE:
            return True
        if group.reach == Reach.CLUSTER and not group.variant:
            return False
        site = self._seat.site if group.reach == Reach.SITE else None
        return not any(
            (site is None or peer.site == site)
            and not (group.variant and peer.unlike.get(group.model) == group.variant)
            for peer in self._view.holders(key_of(group.model))
        )

    def draw(
        self, group: Group, tried: Sequence[int], count: int, now_ns: int, doubt: float
    ) -> tuple[list[Peer], bool]:
        """Up to *count* different peers to ask, and whether a closed link kept any out.

        *doubt* is the share of a peer's presumed backlog that rules it out: backlogs are guesses,
        and earliest deadline first lets an urgent group pass others.
        """
        if group.reach == Reach.NODE:
            return [], False
        seat = self._seat
        settings = seat.settings
        links = self._links
        links.fade(now_ns)
        site = seat.site if group.reach == Reach.SITE else None
        oldest = now_ns - 3 * settings.period_ns
        kind = (group.model, group.items)
        variant = group.variant
        left = group.deadline_ns - now_ns
        out = links.queue_ns(now_ns) + links.transmit_ns(group.payload_bytes)
        is_open = [links.is_open(0, now_ns), links.is_open(1, now_ns)]
        excess = (links.classes[0].excess_ns, links.classes[1].excess_ns)
        cost_of = self._costs.of
        least, power, idle = settings.least_slack_ns, settings.flexibility, settings.idleness
        backoff = int(settings.backoff_ns * min(1.0, seat.spent(now_ns)))
        blocked = False
        peers: list[Peer] = []
        weights: list[float] = []
        for peer in self._view.holders(key_of(group.model)):
            if peer.heard_ns < oldest or peer.suspect_ns > now_ns or peer.number in tried:
                continue
            if site is not None and peer.site != site:
                continue
            if variant and peer.unlike.get(group.model) == variant:
                continue
            refused = peer.refused.get(group.model)
            if refused is not None and now_ns - refused < backoff:
                continue
            link = peer.link
            latency = peer.latency_ns
            arrives = out + latency + excess[link]
            busy = peer.busy_ns(now_ns)
            rest = cost_of(peer, kind) + 2 * latency
            if max(arrives, int(busy * doubt)) + rest > left:
                continue
            if not is_open[link]:
                blocked = True
                continue
            slack = left - rest - (busy if busy > arrives else arrives)
            peers.append(peer)
            weights.append(
                (slack if slack > least else least)
                * peer.faith
                * (1.02 - peer.utilisation) ** idle
                / peer.residents**power
            )
        if len(peers) <= count:
            return peers, blocked
        drawn: list[Peer] = []
        while len(drawn) < count:
            point = seat.rng.random() * sum(weights)
            at = 0
            last = len(weights) - 1
            while at < last and point >= weights[at]:
                point -= weights[at]
                at += 1
            drawn.append(peers.pop(at))
            weights.pop(at)
        return drawn, blocked
