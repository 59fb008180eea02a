"""Groups that are at peers: their results, or the end of the patience with them."""

from __future__ import annotations

from collections.abc import Callable

from edgesdk.balance.actions import CancelDelivery, Deliver
from edgesdk.balance.demand import Demand
from edgesdk.balance.estimate import Costs
from edgesdk.balance.links import Links
from edgesdk.balance.peers import Peer
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import MS, SECOND
from edgesdk.balance.tasks import DOUBTED, Bid, Task

__all__ = ["Delivered"]

_BELIEVED = 0.6
"""Share of its promises that a peer must keep for a broken one to say something of the link."""


class Delivered:
    """Groups of this node between their delivery and their end."""

    __slots__ = (
        "_again",
        "_costs",
        "_demand",
        "_freed",
        "_links",
        "_seat",
        "_tasks",
        "count",
        "overdue",
        "served",
    )

    def __init__(
        self,
        seat: Seat,
        links: Links,
        costs: Costs,
        demand: Demand,
        *,
        again: Callable[[Task, int], None],
        freed: Callable[[int], None],
    ) -> None:
        """*again* is called with a task that came back without results, which it then owns;
        *freed* whenever the link has less to do."""
        self._seat = seat
        self._links = links
        self._costs = costs
        self._demand = demand
        self._again = again
        self._freed = freed
        self._tasks: dict[int, Task] = {}
        self.count = self.served = self.overdue = 0

    def deliver(self, task: Task, bid: Bid, queued_ns: int, now_ns: int) -> None:
        """Sends the group of *task* to the peer that *bid* was accepted by; its last byte leaves
        this node in *queued_ns*."""
        seat = self._seat
        links = self._links
        group = task.group
        peer = bid.peer
        self._tasks[group.id] = task
        task.step += 1
        task.peer = peer
        task.doubts = seat.doubts
        leaves = links.send(peer.link, group.payload_bytes, now_ns, seat.rng)
        # A wait that was foreseen says nothing of the link.
        task.expected_ns = leaves + 2 * peer.latency_ns + bid.wait_ns
        peer.debit(self._costs.of(peer, (group.model, group.items)), now_ns)
        excess = links.classes[peer.link].excess_ns
        arrive_by = now_ns + queued_ns + peer.latency_ns + excess + bid.wait_ns
        self.count += 1
        seat.actions.append(Deliver(group, peer.number, bid.token, arrive_by, bid.ends_ns))
        patience = max(20 * MS, 3 * (peer.srtt_ns or 2 * peer.latency_ns))
        seat.timers.at(bid.ends_ns + peer.latency_ns + patience, self._late, (task, task.step))

    def finished(self, group_id: int, now_ns: int, wire_ns: int | None) -> None:
        """Results came. Of a group that was given up in the same moment they change nothing: it is
        being placed again, and comes to an end of its own."""
        task = self._tasks.get(group_id)
        if task is None or task.peer is None:
            return
        self.served += 1
        group = task.group
        task.peer.kept()
        self._demand.ended(group.model, group.items, now_ns <= group.deadline_ns, now_ns)
        excess = None if wire_ns is None else wire_ns - task.expected_ns
        self._free(task, excess, now_ns)

    def fail(self, group_id: int, now_ns: int) -> None:
        """The transport gave it up: planned again at once."""
        task = self._tasks.get(group_id)
        if task is None or task.peer is None:
            return
        task.peer.broke(now_ns)
        self._free(task, None, now_ns)
        self._again(task, now_ns)

    def leave(self, peer: Peer, now_ns: int) -> None:
        """A peer is gone: all it had is planned again at once."""
        for task in [task for task in self._tasks.values() if task.peer is peer]:
            self._free(task, None, now_ns)
            self._seat.actions.append(CancelDelivery(task.group, peer.number))
            self._again(task, now_ns)

    def _late(self, what: tuple[Task, int], now_ns: int) -> None:
        """The promised end is over, and with it the patience."""
        task, step = what
        peer = task.peer
        if task.step != step or peer is None:
            return
        seat = self._seat
        if task.doubts not in (DOUBTED, seat.doubts):
            task.doubts = DOUBTED
            seat.timers.at(now_ns + max(20 * MS, 3 * peer.srtt_ns), self._late, what)
            return
        # Of a peer that keeps its promises it is the link that must be slow; that of one which does
        # not shall not keep this node from the others.
        self._links.overdue(peer.link, peer.number, now_ns)
        believed = peer.faith > _BELIEVED or self._links.classes[peer.link].is_slow(now_ns)
        peer.broke(now_ns)
        peer.suspect(now_ns + SECOND)
        self.overdue += 1
        group = task.group
        self._free(
            task, group.deadline_ns - group.captured_ns, now_ns, overdue=True, believed=believed
        )
        seat.actions.append(CancelDelivery(group, peer.number))
        self._again(task, now_ns)

    def _free(
        self,
        task: Task,
        excess_ns: int | None,
        now_ns: int,
        *,
        overdue: bool = False,
        believed: bool = True,
    ) -> None:
        peer = task.peer
        assert peer is not None
        group = task.group
        del self._tasks[group.id]
        task.peer = None
        task.step += 1
        if believed:
            allowed = int((group.deadline_ns - group.captured_ns) * self._seat.settings.excess)
            self._links.ended(
                peer.link,
                excess_ns=excess_ns,
                allowed_ns=allowed,
                now_ns=now_ns,
                presumed=overdue,
            )
        else:
            self._links.given_up(peer.link)
        self._freed(now_ns)
