"""The side that asks: where a group that does not fit here goes, and what becomes of it there."""

from __future__ import annotations

from collections.abc import Callable

from edgesdk.balance.actions import CancelDelivery, Deliver, Drop, Run
from edgesdk.balance.candidates import Candidates
from edgesdk.balance.demand import Demand
from edgesdk.balance.estimate import Costs
from edgesdk.balance.fairness import Fairness
from edgesdk.balance.links import Links
from edgesdk.balance.messages import ACCEPT, LOADING, NOT_RESIDENT, VARIANT, Answer, Cancel, Offer
from edgesdk.balance.peers import Peer
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import MS, SECOND
from edgesdk.balance.terms import Group
from edgesdk.balance.turns import Turns

__all__ = ["Offering"]

# In the place of a count of doubts: it was given the time again, and gets it no third time.
_DOUBTED = -1


class _Bid:
    """One offer and what became of it."""

    __slots__ = (
        "answered",
        "doubts",
        "ends_ns",
        "number",
        "payload_ns",
        "peer",
        "sent_ns",
        "start_ns",
        "task",
        "token",
    )

    def __init__(self, number: int, task: _Task, peer: Peer, sent_ns: int, doubts: int) -> None:
        self.number = number
        self.task = task
        self.peer = peer
        self.sent_ns = sent_ns
        self.doubts = doubts
        self.answered = False
        self.ends_ns = 0
        self.start_ns = 0
        """Work in front of it there: what answers are compared by."""
        self.token = b""
        self.payload_ns = 0


class _Task:
    """A group that this node has to place or waits for."""

    __slots__ = (
        "best",
        "bids",
        "charged",
        "deferrals",
        "doubts",
        "expected_ns",
        "group",
        "peer",
        "pending_ns",
        "rounds",
        "second",
        "step",
        "tried",
        "waits",
    )

    def __init__(self, group: Group) -> None:
        self.group = group
        self.rounds = 0
        self.deferrals = 0
        self.tried: list[int] = []
        self.bids: list[_Bid] = []
        self.best: _Bid | None = None
        self.peer: Peer | None = None
        """Set while it is delivered there."""
        self.pending_ns = 0
        self.expected_ns = 0
        self.doubts = 0
        self.step = 0
        """Moves on with each decision, so that older timers see that they mean nothing."""
        self.waits = False
        self.second = False
        self.charged = False
        """Whether its application has paid for the link."""


class Offering:
    """Groups of this node."""

    __slots__ = (
        "_bids",
        "_candidates",
        "_costs",
        "_demand",
        "_fairness",
        "_links",
        "_next",
        "_pump_ns",
        "_seat",
        "_tasks",
        "_turns",
        "_used",
        "delivered",
        "failed",
        "kept",
        "served",
    )

    def __init__(
        self,
        seat: Seat,
        candidates: Candidates,
        links: Links,
        costs: Costs,
        demand: Demand,
        fairness: Fairness,
        used: Callable[[int, int, int], None],
    ) -> None:
        self._seat = seat
        self._candidates = candidates
        self._links = links
        self._costs = costs
        self._demand = demand
        self._fairness = fairness
        self._used = used
        self._tasks: dict[int, _Task] = {}
        self._bids: dict[int, _Bid] = {}
        self._turns: Turns[_Task] = Turns()
        self._pump_ns = 0
        self._next = seat.rng.getrandbits(32)
        self.kept = self.delivered = self.served = self.failed = 0

    # Deciding.

    def place(self, group: Group, now_ns: int) -> None:
        """Here with headroom, else at a peer, else here without, else later, else nowhere."""
        left = group.deadline_ns - now_ns
        settings = self._seat.settings
        strain = max(0.0, self._seat.local.utilisation() - 0.8) * settings.strain
        hurry = min(1.0, left / settings.ample_ns)
        headroom = int(left * (settings.headroom * hurry + strain))
        self._fairness.heard(
            group.model, self._demand.served_share(group.model, now_ns), group.items, now_ns
        )
        gap = self._fairness.gap_ns(group.model, now_ns)
        if self._run_here(group, max(headroom, gap), now_ns):
            return
        task = self._tasks[group.id] = _Task(group)
        self._seek(task, now_ns)

    def _run_here(self, group: Group, headroom_ns: int, now_ns: int) -> bool:
        local = self._seat.local
        model, items, deadline = group.model, group.items, group.deadline_ns
        cost = local.cost_ns(model, items)
        if not cost or now_ns + cost > deadline - headroom_ns:
            return False
        if headroom_ns:
            ends = local.quote(model, items, release_ns=now_ns, deadline_ns=deadline, now_ns=now_ns)
            if ends is None or ends > deadline - headroom_ns:
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

    def _seek(self, task: _Task, now_ns: int, turn: bool = False) -> None:
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
            or (not turn and len(self._turns))
        ):
            self._wait(task, turn, now_ns)
            return
        if not task.charged:
            task.charged = True
            self._turns.charge(group.app, group.weight, group.payload_bytes)
        task.rounds += 1
        task.pending_ns = links.transmit_ns(group.payload_bytes)
        links.pending_ns += task.pending_ns
        until = now_ns
        for peer in peers:
            until = max(until, self._offer(task, peer, now_ns))
        seat.timers.at(until, self._silent, (task, task.step))

    def _offer(self, task: _Task, peer: Peer, now_ns: int) -> int:
        seat = self._seat
        group = task.group
        latency = peer.latency_ns
        link = self._links.classes[peer.link]
        number = self._next = (self._next + 1) & 0xFFFFFFFF
        bid = _Bid(number, task, peer, now_ns, seat.doubts)
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
        if answer.verdict == ACCEPT:
            bid.ends_ns = now_ns + answer.ends_ns - peer.latency_ns
            bid.token = answer.token
            if bid not in task.bids:
                # Not silent after all, only further away than was known.
                peer.suspect_ns = now_ns
                self._cancel(peer, bid.number, now_ns)
                return
            best = task.best
            bid.start_ns = max(0, answer.digest.backlog_ns - answer.cost_ns)
            if best is None or bid.start_ns < best.start_ns:
                bid, task.best = best or bid, bid
            if bid is not task.best:
                self._cancel(bid.peer, bid.number, now_ns)
        else:
            if answer.verdict == VARIANT:
                peer.unlike[group.model] = group.variant
            elif answer.verdict in (NOT_RESIDENT, LOADING):
                peer.suspect_ns = max(peer.suspect_ns, now_ns)
            if bid not in task.bids:
                return
        if all(other.answered for other in task.bids):
            self._conclude(task, now_ns)

    def _silent(self, what: tuple[_Task, int], now_ns: int) -> None:
        """The time for answers is over."""
        task, step = what
        if task.step != step or task.peer is not None:
            return
        seat = self._seat
        doubted = False
        for bid in task.bids:
            if bid.answered:
                continue
            if bid.doubts not in (_DOUBTED, seat.doubts):
                bid.doubts = _DOUBTED
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
                self._suspect(bid.peer, now_ns, seat.settings.period_ns // 4)
                seat.timers.at(now_ns + SECOND, self._forget, bid)
        self._conclude(task, now_ns)

    def _forget(self, bid: _Bid, now_ns: int) -> None:
        self._bids.pop(bid.number, None)

    def _conclude(self, task: _Task, now_ns: int) -> None:
        self._links.pending_ns -= task.pending_ns
        task.pending_ns = 0
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
        task.step += 1
        task.peer = peer
        task.doubts = self._seat.doubts
        task.expected_ns = links.send(peer.link, group.payload_bytes, now_ns) + 2 * peer.latency_ns
        cost = self._costs.of(peer, (group.model, group.items))
        peer.debit(cost, now_ns)
        arrive_by = now_ns + queued + peer.latency_ns + links.classes[peer.link].excess_ns
        self.delivered += 1
        self._seat.actions.append(Deliver(group, peer.number, best.token, arrive_by, best.ends_ns))
        patience = max(20 * MS, 3 * (peer.srtt_ns or 2 * peer.latency_ns))
        self._seat.timers.at(
            best.ends_ns + peer.latency_ns + patience, self._overdue, (task, task.step)
        )

    def _second_opinion(self, task: _Task, best: _Bid, now_ns: int) -> bool:
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
        until = self._offer(task, peers[0], now_ns)
        self._seat.timers.at(until, self._silent, (task, task.step))
        return True

    # After delivery.

    def finished(self, group_id: int, now_ns: int, wire_ns: int | None) -> None:
        """Results came."""
        task = self._tasks.pop(group_id, None)
        if task is None or task.peer is None:
            return
        task.step += 1
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
        peer = task.peer
        peer.broke(now_ns)
        self._free(task, None, now_ns)
        self._again(task, now_ns)

    def leave(self, peer: Peer, now_ns: int) -> None:
        """A peer is gone: all it had is planned again at once."""
        for task in list(self._tasks.values()):
            if task.peer is peer:
                self._free(task, None, now_ns)
                self._seat.actions.append(CancelDelivery(task.group, peer.number))
                self._again(task, now_ns)
            elif task.bids:
                for bid in task.bids:
                    if bid.peer is peer:
                        bid.answered = True
                        self._bids.pop(bid.number, None)
                        if task.best is bid:
                            task.best = None
                if all(bid.answered for bid in task.bids):
                    self._conclude(task, now_ns)

    def _overdue(self, what: tuple[_Task, int], now_ns: int) -> None:
        """The promised end is over, and with it the patience."""
        task, step = what
        peer = task.peer
        if task.step != step or peer is None:
            return
        seat = self._seat
        if task.doubts not in (_DOUBTED, seat.doubts):
            task.doubts = _DOUBTED
            seat.timers.at(now_ns + max(20 * MS, 3 * peer.srtt_ns), self._overdue, what)
            return
        peer.broke(now_ns)
        self._suspect(peer, now_ns, SECOND)
        self.failed += 1
        group = task.group
        self._free(task, group.deadline_ns - group.captured_ns, now_ns)
        seat.actions.append(CancelDelivery(group, peer.number))
        self._again(task, now_ns)

    def _free(self, task: _Task, excess_ns: int | None, now_ns: int) -> None:
        peer = task.peer
        assert peer is not None
        task.peer = None
        group = task.group
        allowed = int((group.deadline_ns - group.captured_ns) * self._seat.settings.excess)
        self._links.ended(peer.link, excess_ns=excess_ns, allowed_ns=allowed)
        self._pump(now_ns)

    def _again(self, task: _Task, now_ns: int) -> None:
        task.rounds = 0
        if task.group.deadline_ns <= now_ns:
            self._drop(task, now_ns)
        elif self._run_here(task.group, self._fairness.gap_ns(task.group.model, now_ns), now_ns):
            del self._tasks[task.group.id]
        else:
            self._seek(task, now_ns)

    # Waiting.

    def _wait(self, task: _Task, turn: bool, now_ns: int) -> None:
        """For the link; meanwhile there may come a place here."""
        task.waits = True
        if turn:
            self._turns.again(task.group.app, task)
        else:
            self._turns.wait(task.group.app, task)
        seat = self._seat
        seat.timers.at(now_ns + seat.settings.defer_ns, self._recheck, (task, task.step))
        self._pump_later(now_ns)

    def _pump_later(self, now_ns: int) -> None:
        """Has the link looked at again when it should have drained; there is one such timer."""
        settings = self._seat.settings
        links = self._links
        if links.full(now_ns):
            when = max(now_ns + MS, links.busy_ns + links.pending_ns - settings.queue_ns)
        else:
            when = now_ns + settings.defer_ns // 4
        if not now_ns < self._pump_ns <= when:
            self._pump_ns = when
            self._seat.timers.at(when, self._pump_due, when)

    def _pump_due(self, when_ns: int, now_ns: int) -> None:
        if when_ns == self._pump_ns:
            self._pump_ns = 0
            self._pump(now_ns)

    def _pump(self, now_ns: int) -> None:
        """Lets those go whose turn it is."""
        turns = self._turns
        links = self._links
        rng = self._seat.rng
        while (
            len(turns)
            and not links.full(now_ns)
            and (links.is_open(0, rng) or links.is_open(1, rng))
        ):
            task = turns.first()
            if task.waits:
                task.waits = False
                self._seek(task, now_ns, turn=True)
                if task.waits:
                    break
        if len(turns):
            self._pump_later(now_ns)

    def _recheck(self, what: tuple[_Task, int], now_ns: int) -> None:
        task, step = what
        if not task.waits or task.step != step:
            return
        group = task.group
        if group.deadline_ns <= now_ns:
            task.waits = False
            self._drop(task, now_ns)
        elif self._run_here(group, self._fairness.gap_ns(group.model, now_ns), now_ns):
            task.waits = False
            self._refund(task)
            del self._tasks[group.id]
        else:
            self._seat.timers.at(now_ns + self._seat.settings.defer_ns, self._recheck, what)

    def _fall_back(self, task: _Task, now_ns: int) -> None:
        """Here without headroom; else later; else nowhere."""
        settings = self._seat.settings
        group = task.group
        if self._run_here(group, self._fairness.gap_ns(group.model, now_ns), now_ns):
            self._refund(task)
            del self._tasks[group.id]
            return
        wait = min(settings.defer_ns, (group.deadline_ns - now_ns) // 6)
        if task.deferrals < settings.deferrals and wait > MS:
            task.deferrals += 1
            self._seat.timers.at(now_ns + wait, self._retry, (task, task.step))
        else:
            self._drop(task, now_ns)

    def _retry(self, what: tuple[_Task, int], now_ns: int) -> None:
        task, step = what
        if task.step != step:
            return
        task.rounds = 0
        task.tried = []
        if self._run_here(task.group, self._fairness.gap_ns(task.group.model, now_ns), now_ns):
            self._refund(task)
            del self._tasks[task.group.id]
        else:
            self._seek(task, now_ns)

    def _refund(self, task: _Task) -> None:
        if task.charged:
            task.charged = False
            group = task.group
            self._turns.charge(group.app, group.weight, -group.payload_bytes)

    def _drop(self, task: _Task, now_ns: int) -> None:
        self._refund(task)
        task.step += 1
        del self._tasks[task.group.id]
        self._demand.ended(task.group.model, task.group.items, False, now_ns)
        self._seat.actions.append(Drop(task.group, "deadline"))

    def _cancel(self, peer: Peer, number: int, now_ns: int) -> None:
        self._seat.send(peer.number, Cancel(number).pack(), now_ns)

    @staticmethod
    def _suspect(peer: Peer, now_ns: int, for_ns: int) -> None:
        peer.suspect_ns = max(peer.suspect_ns, now_ns + for_ns)
