"""The balancer: one object a node, without clock, socket, thread or randomness of its own.

The simulator (``edgesdk.sim``) and a node of a cluster drive this very class. Every call takes the
caller's monotonic ``now_ns``; after every call the caller drains :meth:`Balancer.actions` and asks
for :attr:`Balancer.next_ns`. Not thread-safe.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from edgesdk.balance.actions import Action
from edgesdk.balance.announcing import Announcing
from edgesdk.balance.answering import Answering
from edgesdk.balance.candidates import Candidates
from edgesdk.balance.captives import Captives
from edgesdk.balance.demand import Demand
from edgesdk.balance.digest import BRIEF, HASHES, Digest
from edgesdk.balance.estimate import Costs
from edgesdk.balance.fairness import Fairness
from edgesdk.balance.home import Home
from edgesdk.balance.links import Links
from edgesdk.balance.messages import (
    Answer,
    Cancel,
    Exchange,
    Offer,
    State,
    Unwatch,
    Watch,
    unpack,
)
from edgesdk.balance.offering import Offering
from edgesdk.balance.peers import Peer
from edgesdk.balance.placement import Placement
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import MS, Settings
from edgesdk.balance.terms import Group, Local, Promise, key_of
from edgesdk.balance.view import View

__all__ = ["Balancer"]

_HELD_UP_NS = 20 * MS


class Balancer:
    """Places the groups of one node, here or at peers, and answers the offers of others."""

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
        """*node* is the u32 of its certificate, *site* a u16, *service_class* 0 to 255: nodes of
        one class have equal costs until they say otherwise.

        *rng* draws the tokens that open the data plane: production passes
        :class:`random.SystemRandom`, the simulator a seeded one.
        """
        self._seat = seat = Seat(
            settings, node=node, site=site, service_class=service_class, local=local, rng=rng
        )
        self._incarnation = seat.rng.getrandbits(16)
        self._sequence = 0
        self._links = Links(settings)
        self._costs = Costs()
        self._view = View(seat, self._digest)
        self._demand = demand = Demand(local.installed)
        self._announcing = Announcing(seat, self._view, demand)
        fairness = Fairness(seat, self._links)
        self._placement = Placement(seat, self._view, self._links, self._costs, demand)
        captives: dict[int, Captives] = defaultdict(partial(Captives, settings))
        self._answering = Answering(seat, self._links, fairness, captives, self._placement.used)
        self._home = Home(seat, demand, fairness, captives, self._placement.used)
        candidates = Candidates(seat, self._view, self._links, self._costs)
        self._offering = Offering(seat, candidates, self._links, self._costs, demand, self._home)
        self._started = False

    # Membership.

    def member(self, number: int, *, site: int, now_ns: int, address: bytes = b"") -> None:
        """*number* is authenticated and reachable; *address* is what others may be told of it."""
        self._start(now_ns)
        if number != self._seat.node:
            self._view.join(number, site, address, now_ns)

    def gone(self, number: int, now_ns: int) -> None:
        """*number* is unreachable or removed: what it had is planned again at once."""
        peer = self._view.leave(number, now_ns)
        if peer is not None:
            self._answering.leave(number)
            self._offering.leave(peer, now_ns)

    def members(self) -> Mapping[int, Peer]:
        """Every reachable member by number, to be read with the caller's lock held."""
        return self._view.members

    def watched(self) -> Mapping[int, Peer]:
        """The view: those of :meth:`members` whose state is followed, and who are asked."""
        return self._view.watched

    # Groups of this node.

    def place(self, group: Group, now_ns: int) -> None:
        """Decides where *group* runs; ends in one Run or Drop, or Deliver and then a call of
        :meth:`finished`."""
        self._start(now_ns)
        self._view.need(key_of(group.model), now_ns)
        self._offering.place(group, now_ns)
        self._announcing.needs(now_ns)

    def finished(self, group_id: int, now_ns: int, *, wire_ns: int | None) -> None:
        """The results of a delivered group are here. *wire_ns* is the time that its data and its
        results spent between the nodes, queues included; None if nobody measured it."""
        self._offering.finished(group_id, now_ns, wire_ns)

    def failed(self, group_id: int, now_ns: int, *, why: str) -> None:
        """The transport or the peer gave a delivered group up: it is planned again at once."""
        self._offering.fail(group_id, now_ns)

    def residents_changed(self, now_ns: int) -> None:
        """A load or an eviction has ended: whoever watches this node is told at once."""
        if self._started:
            self._announcing.residents(now_ns)

    # What others send.

    def received(self, sender: int, data: bytes, now_ns: int) -> None:
        """A datagram of *sender*, who is authenticated. One who is no member is ignored.

        Raises:
            MessageError: it is no message; nothing was changed.
        """
        message = unpack(data)
        peer = self._view.members.get(sender)
        if peer is None or message is None:
            return
        if isinstance(message, Offer):
            given = self._answering.consider(sender, message, now_ns)
            digest = self._digest(now_ns, BRIEF)
            answer = Answer(
                message.number,
                given.verdict,
                given.ends_ns,
                given.cost_ns,
                given.token,
                digest,
                given.wait_ns,
            )
            if digest.complete:
                self._view.told(sender, now_ns)
            self._seat.send(sender, answer.pack(), now_ns)
        elif isinstance(message, Answer):
            self._view.hear(peer, message.digest, now_ns)
            self._offering.answer(peer, message, now_ns)
        elif isinstance(message, Cancel):
            self._answering.cancel(sender, message.number)
        elif isinstance(message, State):
            self._view.hear(peer, message.digest, now_ns)
        elif isinstance(message, Watch):
            self._view.on_watch(peer, now_ns)
        elif isinstance(message, Unwatch):
            self._view.on_unwatch(peer, now_ns)
        elif isinstance(message, Exchange):
            self._view.on_exchange(peer, message, now_ns)

    def claimed(self, sender: int, token: bytes, now_ns: int) -> Promise | None:
        """Data with *token* arrived from *sender*: the promise to claim in the scheduler, once.
        None: unknown, expired, used, or given to another node."""
        return self._answering.claim(sender, token, now_ns)

    def holds(self, sender: int, token: bytes) -> bool:
        """Whether *token* is one that *sender* was given and has not used. Without any lock."""
        return self._answering.holds(sender, token)

    # Time.

    def advance(self, now_ns: int) -> None:
        """Runs the timers that are due."""
        due = self._seat.timers.next_ns
        if due is not None and now_ns - due > _HELD_UP_NS:
            self.delayed(now_ns - due)
        self._seat.timers.run(now_ns)

    @property
    def next_ns(self) -> int | None:
        """When :meth:`advance` wants to be called; None: not before something happens."""
        return self._seat.timers.next_ns

    def delayed(self, ns: int) -> None:
        """This node itself was held up for *ns*: whoever seems silent or late is given the time
        again before being suspected."""
        if ns > 0:
            self._seat.doubts += 1

    def actions(self) -> list[Action]:
        """What to do now, in this order; each is returned once."""
        taken = self._seat.actions
        self._seat.actions = []
        return taken

    # What people and monitoring see.

    def counts(self) -> dict[str, int]:
        """Since the start: groups *kept* here, *delivered* to peers, of these *served* and
        *overdue*; offers of others *accepted*, *refused*, and *claimed* by their data."""
        offering, answering = self._offering, self._answering
        return {
            "kept": self._home.kept,
            "delivered": offering.delivered.count,
            "served": offering.delivered.served,
            "overdue": offering.delivered.overdue,
            "accepted": answering.accepted,
            "refused": answering.refused,
            "claimed": answering.claimed,
        }

    def _start(self, now_ns: int) -> None:
        if not self._started:
            self._started = True
            self._view.start(now_ns)
            self._placement.start(now_ns)

    def _digest(self, now_ns: int, most: int = HASHES) -> Digest:
        seat = self._seat
        local = seat.local
        residents = [*local.residents(), *local.installed()]
        missed, rate, served = self._demand.worst(now_ns)
        loading, ready = self._placement.loading(now_ns)
        self._sequence = (self._sequence + 1) & 0xFFFF
        return Digest(
            self._incarnation,
            self._sequence,
            local.backlog_ns(now_ns),
            seat.site,
            seat.service_class,
            len(residents),
            local.utilisation(),
            missed & 0xFFFF,
            rate,
            served,
            loading & 0xFFFF,
            max(0, ready - now_ns) if loading else 0,
            tuple([model & 0xFFFF for model in residents[:most]]),
        )
