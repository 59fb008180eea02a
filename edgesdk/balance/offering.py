"""The side that asks: where a group that does not fit here goes, and what becomes of it there."""

from __future__ import annotations

from edgesdk.balance.actions import Drop
from edgesdk.balance.candidates import Candidates
from edgesdk.balance.delivered import Delivered
from edgesdk.balance.demand import Demand
from edgesdk.balance.estimate import Costs
from edgesdk.balance.home import Home
from edgesdk.balance.links import Links
from edgesdk.balance.messages import (
    ACCEPT,
    BUSY,
    LOADING,
    NOT_RESIDENT,
    VARIANT,
    Answer,
    Cancel,
    Offer,
)
from edgesdk.balance.peers import Peer
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import MS, SECOND
from edgesdk.balance.tasks import DOUBTED, Bid, Task
from edgesdk.balance.terms import Group
from edgesdk.balance.waiting import Waiting

__all__ = ["Offering"]


class Offering:
    """Groups of this node."""

    __slots__ = (
        "_bids",
        "_candidates",
        "_costs",
        "_demand",
        "_home",
        "_links",
        "_next",
        "_seat",
        "_tasks",
        "_waiting",
        "delivered",
    )

    def __init__(
        self,
        seat: Seat,
        candidates: Candidates,
        links: Links,
        costs: Costs,
        demand: Demand,
        home: Home,
    ) -> None:
        self._seat = seat
        self._candidates = candidates
        self._links = links
        self._costs = costs
        self._demand = demand
        self._home = home
        self._tasks: dict[int, Task] = {}
        self._bids: dict[int, Bid] = {}
        self._waiting = Waiting(seat, links, self._turn)
        self._next = seat.rng.getrandbits(32)
        self.delivered = Delivered(
            seat, links, costs, demand, again=self._again, freed=self._waiting.look
        )

    # Deciding.

    def place(self, group: Group, now_ns: int) -> None:
        """Here with headroom, else at a peer, else here without, else later, else nowhere."""
        captive = self._links.narrow(now_ns) or self._candidates.captive(group)
        if self._home.run_first(group, now_ns, captive=captive):
            return
        task = self._tasks[group.id] = Task(group)
        self._seek(task, now_ns)

    def _seek(self, task: Task, now_ns: int, turn: bool = False) -> None:
        """Asks the next peers, or waits for the link, or falls back. *turn*: it has waited."""
        task.step += 1
        seat = self._seat
        settings = seat.settings
        group = task.group
        if task.rounds >= settings.rounds:
            self._fall_back(task, now_ns)
            return
        links = self._links
        # The less time is left, the less is known of where there is room, and the more asking pays.
        hurry = max(0.5, min(1.0, (group.deadline_ns - now_ns) / settings.ample_ns))
        spent = seat.spent(now_ns) * hurry
        if spent > 0.8 and task.rounds > (1 if spent < 1.0 else 0):
            self._fall_back(task, now_ns)
            return
        quotes = settings.quotes if task.rounds and spent < 0.6 else settings.first_quotes
        # Backlogs are old news: they rule a peer out only where asking in vain is dear.
        doubt = settings.doubt * spent
        peers, blocked = self._candidates.draw(group, task.tried, quotes, now_ns, doubt)
        if not peers and not blocked:
            self._fall_back(task, now_ns)
            return
        if (
            not peers
            or (not task.charged and links.full(now_ns))
            or (not turn and len(self._waiting))
        ):
            self._wait(task, turn, now_ns)
            return
        self._waiting.charge(task)
        task.rounds += 1
        task.pending_ns = links.transmit_ns(group.payload_bytes)
        links.pending_ns += task.pending_ns
        self._waiting.hold(task, links.classes[peers[0].link])
        until = now_ns
        for peer in peers:
            until = max(until, self._offer(task, peer, now_ns))
        seat.timers.at(until, self._silent, (task, task.step))

    def _offer(self, task: Task, peer: Peer, now_ns: int) -> int:
        seat = self._seat
        group = task.group
        latency = peer.latency_ns
        link = self._links.classes[peer.link]
        number = self._next = (self._next + 1) & 0xFFFFFFFF
        bid = Bid(number, task, peer, now_ns, seat.doubts)
        bid.payload_ns = (
            self._links.queue_ns(now_ns) + self._links.pending_ns + seat.settings.margin_ns
        )
        offer = Offer(
            number,
            group.model,
            group.variant,
            group.items,
            group.deadline_ns - now_ns - 2 * latency,
            bid.payload_ns + 2 * latency + link.excess_ns,
            group.payload_bytes,
            self._demand.served_share(group.model, now_ns),
        )
        task.bids.append(bid)
        task.tried.append(peer.number)
        self._bids[number] = bid
        seat.send(peer.number, offer.pack(), now_ns)
        return now_ns + peer.silence_ns(seat.settings.silence_ns)

    def answer(self, peer: Peer, answer: Answer, now_ns: int) -> None:
        """An answer came; the peer's state was taken in already."""
        bid = self._bids.pop(answer.number, None)
        if bid is None or bid.peer is not peer:
            if bid is not None:
                self._bids[answer.number] = bid
            if answer.verdict == ACCEPT:
                self._cancel(peer, answer.number, now_ns)
            return
        task = bid.task
        group = task.group
        if bid.doubts == self._seat.doubts:
            peer.answered(now_ns - bid.sent_ns)
        if answer.cost_ns:
            self._costs.learn(peer, group.model, group.items, answer.cost_ns)
        bid.answered = True
        if bid not in task.bids:
            # Not silent after all, only further away than was known, or busy for a moment.
            peer.suspect_ns = now_ns
            if answer.verdict == ACCEPT:
                self._cancel(peer, bid.number, now_ns)
            return
        if answer.verdict == ACCEPT:
            bid.ends_ns = now_ns + answer.ends_ns - peer.latency_ns
            bid.token = answer.token
            bid.wait_ns = min(answer.wait_ns, max(0, group.deadline_ns - now_ns))
            best = task.best
            bid.start_ns = max(0, answer.digest.backlog_ns - answer.cost_ns)
            if best is None or bid.start_ns < best.start_ns:
                bid, task.best = best or bid, bid
            if bid is not task.best:
                self._cancel(bid.peer, bid.number, now_ns)
        else:
            if answer.verdict == BUSY:
                peer.refuse(group.model, now_ns)
            elif answer.verdict == VARIANT:
                peer.unlike[group.model] = group.variant
            elif answer.verdict in (NOT_RESIDENT, LOADING):
                peer.suspect(now_ns)
        if all(other.answered for other in task.bids):
            self._conclude(task, now_ns)

    def _silent(self, what: tuple[Task, int], now_ns: int) -> None:
        """The time for answers is over."""
        task, step = what
        if task.step != step or task.peer is not None:
            return
        seat = self._seat
        doubted = False
        for bid in task.bids:
            if bid.answered:
                continue
            if bid.doubts not in (DOUBTED, seat.doubts):
                bid.doubts = DOUBTED
                doubted = True
        if doubted:
            # This node was held up itself: the answers may be waiting in its own socket. Once: a
            # node that is held up all the time must not wait for the dead for ever.
            until = max(bid.peer.silence_ns(seat.settings.silence_ns) for bid in task.bids)
            seat.timers.at(now_ns + until, self._silent, what)
            return
        for bid in task.bids:
            if not bid.answered:
                bid.answered = True
                bid.peer.suspect(now_ns + seat.settings.period_ns // 4)
                seat.timers.at(now_ns + SECOND, self._forget, bid)
        self._conclude(task, now_ns)

    def _forget(self, bid: Bid, now_ns: int) -> None:
        self._bids.pop(bid.number, None)

    def _conclude(self, task: Task, now_ns: int) -> None:
        self._links.pending_ns -= task.pending_ns
        task.pending_ns = 0
        self._waiting.let_go(task)
        best = task.best
        if best is not None and self._second_opinion(task, best, now_ns):
            return
        task.best = None
        task.bids = []
        if best is None:
            self._seek(task, now_ns)
            return
        group = task.group
        links = self._links
        peer = best.peer
        queued = links.queue_ns(now_ns) + links.transmit_ns(group.payload_bytes)
        late = queued - best.payload_ns
        if (
            late > self._seat.settings.margin_ns
            and best.ends_ns + late + peer.latency_ns > group.deadline_ns
        ):
            self._cancel(peer, best.number, now_ns)
            self._seek(task, now_ns)
            return
        del self._tasks[group.id]
        self.delivered.deliver(task, best, queued, now_ns)

    def _second_opinion(self, task: Task, best: Bid, now_ns: int) -> bool:
        """Where the place offered is not good, asks one more peer before taking it."""
        settings = self._seat.settings
        group = task.group
        if (
            task.second
            or self._seat.spent(now_ns) > 0.6
            or best.start_ns <= settings.content * (group.deadline_ns - now_ns)
        ):
            return False
        task.second = True
        peers, _ = self._candidates.draw(group, task.tried, 1, now_ns, 0.5)
        if not peers:
            return False
        task.step += 1
        task.bids = [best]
        task.pending_ns = self._links.transmit_ns(group.payload_bytes)
        self._links.pending_ns += task.pending_ns
        self._waiting.hold(task, self._links.classes[peers[0].link])
        until = self._offer(task, peers[0], now_ns)
        self._seat.timers.at(until, self._silent, (task, task.step))
        return True

    # After delivery.

    def finished(self, group_id: int, now_ns: int, wire_ns: int | None) -> None:
        """Results of a delivered group came."""
        self.delivered.finished(group_id, now_ns, wire_ns)

    def fail(self, group_id: int, now_ns: int) -> None:
        """The transport gave it up: planned again at once."""
        self.delivered.fail(group_id, now_ns)

    def leave(self, peer: Peer, now_ns: int) -> None:
        """A peer is gone: all it had is planned again at once."""
        self.delivered.leave(peer, now_ns)
        for task in list(self._tasks.values()):
            if task.bids:
                for bid in task.bids:
                    if bid.peer is peer:
                        bid.answered = True
                        self._bids.pop(bid.number, None)
                        if task.best is bid:
                            task.best = None
                if all(bid.answered for bid in task.bids):
                    self._conclude(task, now_ns)

    def _again(self, task: Task, now_ns: int) -> None:
        self._tasks[task.group.id] = task
        self._waiting.sent_in_vain(task)
        task.rounds = 0
        if task.group.deadline_ns <= now_ns:
            self._drop(task, now_ns)
        elif self._home.run(task.group, now_ns):
            del self._tasks[task.group.id]
        else:
            self._seek(task, now_ns)

    # Waiting.

    def _wait(self, task: Task, turn: bool, now_ns: int) -> None:
        """For the link; meanwhile there may come a place here."""
        self._waiting.wait(task, turn, now_ns)
        seat = self._seat
        seat.timers.at(now_ns + seat.settings.defer_ns, self._recheck, (task, task.step))

    def _turn(self, task: Task, now_ns: int) -> None:
        self._seek(task, now_ns, turn=True)

    def _recheck(self, what: tuple[Task, int], now_ns: int) -> None:
        task, step = what
        if not task.waits or task.step != step:
            return
        group = task.group
        if group.deadline_ns <= now_ns:
            task.waits = False
            self._drop(task, now_ns)
        elif self._home.run(group, now_ns):
            task.waits = False
            self._waiting.refund(task)
            del self._tasks[group.id]
        else:
            self._seat.timers.at(now_ns + self._seat.settings.defer_ns, self._recheck, what)

    def _fall_back(self, task: Task, now_ns: int) -> None:
        """Here without headroom; else later; else nowhere."""
        settings = self._seat.settings
        group = task.group
        if self._home.run(group, now_ns):
            self._waiting.refund(task)
            del self._tasks[group.id]
            return
        wait = min(settings.defer_ns, (group.deadline_ns - now_ns) // 6)
        deferrals = settings.deferrals if self._seat.spent(now_ns) < 1.0 else 1
        if task.deferrals < deferrals and wait > MS:
            task.deferrals += 1
            self._seat.timers.at(now_ns + wait, self._retry, (task, task.step))
        else:
            self._drop(task, now_ns)

    def _retry(self, what: tuple[Task, int], now_ns: int) -> None:
        task, step = what
        if task.step != step:
            return
        task.rounds = 0
        task.tried = []
        if self._home.run(task.group, now_ns):
            self._waiting.refund(task)
            del self._tasks[task.group.id]
        else:
            self._seek(task, now_ns)

    def _drop(self, task: Task, now_ns: int) -> None:
        self._waiting.refund(task)
        task.step += 1
        del self._tasks[task.group.id]
        self._demand.ended(task.group.model, task.group.items, False, now_ns)
        self._seat.actions.append(Drop(task.group, "deadline"))

    def _cancel(self, peer: Peer, number: int, now_ns: int) -> None:
        self._seat.send(peer.number, Cancel(number).pack(), now_ns)
