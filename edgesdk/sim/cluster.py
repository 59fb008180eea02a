"""The policy that ships: a :class:`edgesdk.balance.Balancer` on every node, fed with real packed
datagrams, as the cluster member feeds it on a camera."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from edgesdk.balance import (
    Action,
    Balancer,
    CancelDelivery,
    Deliver,
    Drop,
    Evict,
    Group,
    Load,
    Meet,
    Promise,
    Reach,
    Run,
    Send,
    Settings,
)
from edgesdk.core.sched import Reservation
from edgesdk.errors import EdgeError, MessageError
from edgesdk.sim.dispatch import draw_views
from edgesdk.sim.hardware import MODELS
from edgesdk.sim.network import Transfer
from edgesdk.sim.own import INDEX, OwnAccelerator
from edgesdk.sim.seeded import seeded
from edgesdk.sim.simulation import RESULT_BYTES, Policy, Simulation
from edgesdk.sim.workload import Arrival

__all__ = ["Cluster"]

_HANDSHAKE_BYTES = 2800  # of both ends, overheads included
_HANDSHAKE_TRIPS = 6  # one way each: hello, cookie, hello, flights of both
_SILENCE_NS = 1_800_000_000  # after which the data plane gives a silent peer up


@dataclass(slots=True)
class _Visit:
    """A group on an executor."""

    group: int
    origin: int
    peer: int
    life: int
    """Of the origin: which of its runs between crashes sent it."""
    wire_ns: int


class _Member:
    """One node's run, from its start to its crash."""

    def __init__(self, balancer: Balancer, local: OwnAccelerator) -> None:
        self.balancer = balancer
        self.local = local
        self.wakes_at = 0
        self.deliveries: dict[int, tuple[_Visit, Transfer]] = {}
        """Where a group is expected back from, and its bytes, by group."""
        self.visits: dict[int, _Visit | int] = {}
        """By job of the scheduler; a number is a group of this node's own."""
        self.peers: set[int] = set()
        self.jobs = 0


class Cluster(Policy):
    """A balancer on every node; nodes are numbered from 1 in what they tell each other."""

    def __init__(
        self, simulation: Simulation, settings: Settings | None = None, *, timed: bool = False
    ) -> None:
        super().__init__(simulation)
        parameters = simulation.parameters
        settings = settings or Settings()
        settings = replace(settings, nic_bps=parameters.nic_mbps * 1e6)
        if parameters.gossip_s:
            settings = replace(settings, period_ns=round(parameters.gossip_s * 1e9))
        self._settings = settings
        self._deadline_ns = round(parameters.deadline_ms * 1e6)
        self._lives = [0] * len(simulation.nodes)
        self._members = [self._member(node) for node in range(len(simulation.nodes))]
        self._timed = timed
        self.decisions_ns: list[int] = []
        """Wall time of each placing decision, if *timed*."""
        self.refused = 0
        """Datagrams that a balancer did not understand."""

    def start(self) -> None:
        views = draw_views(self.simulation, seeded(self.simulation.parameters.seed, "policy"))
        for node, view in enumerate(views):
            for peer in view:
                for end, other in ((node, peer), (peer, node)):
                    if other not in self._members[end].peers:
                        self._associate(end, other)
        for node in range(len(self._members)):
            self._drive(node)

    def arrive(self, group: int, arrival: Arrival) -> None:
        began = time.perf_counter_ns() if self._timed else 0
        self._members[arrival.node].balancer.place(
            Group(
                id=group,
                model=MODELS[arrival.model].number,
                variant=0,
                items=arrival.items,
                captured_ns=arrival.captured_ns,
                deadline_ns=arrival.captured_ns + self._deadline_ns,
                payload_bytes=arrival.items * self.simulation.parameters.frame_bytes,
                app=arrival.app,
                weight=1.0,
                reach=Reach.CLUSTER,
            ),
            self.simulation.engine.now,
        )
        if self._timed:
            self.decisions_ns.append(time.perf_counter_ns() - began)
        self._drive(arrival.node)

    def ended(self, node: int, job: int, ran: bool) -> None:
        member = self._members[node]
        visit = member.visits.pop(job)
        simulation = self.simulation
        if isinstance(visit, int):
            if ran:
                simulation.ledger.result(visit, simulation.engine.now)
            else:
                simulation.ledger.drop(visit, "deadline")
        elif ran:
            simulation.network.message(node, visit.origin, RESULT_BYTES, self._result, visit)
        else:
            self._refuse(node, visit, "late")

    def crashed(self, node: int) -> None:
        simulation = self.simulation
        self._lives[node] += 1
        self._members[node].visits.clear()
        for origin, member in enumerate(self._members):
            if any(visit.peer == node for visit, _ in member.deliveries.values()):
                simulation.engine.at(simulation.engine.now + _SILENCE_NS, self._lost, origin, node)

    def restarted(self, node: int) -> None:
        """It knows its old peers from its disk and greets them."""
        old = self._members[node].peers
        self._members[node] = self._member(node)
        for peer in sorted(old):
            if self.simulation.alive[peer]:
                self._shake_hands(node, peer)
        self._drive(node)

    def _member(self, node: int) -> _Member:
        simulation = self.simulation
        spec = simulation.nodes[node]
        everywhere = simulation.parameters.everywhere
        local = OwnAccelerator(simulation.accelerators[node], spec.kind, everywhere)
        balancer = Balancer(
            self._settings,
            node=node + 1,
            site=spec.region,
            service_class=spec.kind,
            local=local,
            rng=seeded(simulation.parameters.seed, "balancer", node, self._lives[node]),
        )
        return _Member(balancer, local)

    def _drive(self, node: int) -> None:
        """Does what the balancer asks for, and calls it again when it wants to be."""
        member = self._members[node]
        now = self.simulation.engine.now
        while actions := member.balancer.actions():
            for action in actions:
                self._act(node, member, action, now)
        wanted = member.balancer.next_ns
        if wanted is not None and (wanted < member.wakes_at or member.wakes_at <= now):
            member.wakes_at = max(wanted, now + 1)
            self.simulation.engine.at(member.wakes_at, self._wake, node, member, member.wakes_at)

    def _wake(self, node: int, member: _Member, instant: int) -> None:
        if instant == member.wakes_at and self._here(node, member):
            member.wakes_at = 0
            member.balancer.advance(self.simulation.engine.now)
            self._drive(node)

    def _here(self, node: int, member: _Member) -> bool:
        return self._members[node] is member and self.simulation.alive[node]

    def _act(self, node: int, member: _Member, action: Action, now: int) -> None:
        simulation = self.simulation
        if isinstance(action, Send):
            peer = action.peer - 1
            simulation.count_control(node, peer, len(action.data))
            simulation.network.message(
                node, peer, len(action.data) + 65, self._receive, node, peer, action.data
            )
        elif isinstance(action, Run):
            self._claim(node, member, action.group.id, action.promise)
        elif isinstance(action, Deliver):
            self._deliver(node, member, action)
        elif isinstance(action, CancelDelivery):
            _, transfer = member.deliveries.pop(action.group.id)
            if transfer.cancel():
                simulation.data_bytes -= transfer.size
        elif isinstance(action, Drop):
            simulation.ledger.drop(action.group.id, action.reason)
        elif isinstance(action, Load):
            self._load(node, member, INDEX[action.model])
        elif isinstance(action, Evict):
            member.local.accelerator.evict(INDEX[action.model])
        elif isinstance(action, Meet):
            self._shake_hands(node, action.number - 1)

    def _claim(self, node: int, member: _Member, visit: _Visit | int, promise: Promise) -> bool:
        member.jobs += 1
        job = member.jobs
        member.visits[job] = visit
        kept = Reservation(promise.id, promise.ends_ns)
        if member.local.accelerator.claim(kept, job):
            return True
        del member.visits[job]
        if isinstance(visit, int):
            self.simulation.ledger.drop(visit, "deadline")
        return False

    def _deliver(self, node: int, member: _Member, action: Deliver) -> None:
        simulation = self.simulation
        group = action.group
        peer = action.peer - 1
        visit = _Visit(group.id, node, peer, self._lives[node], simulation.engine.now)
        transfer = simulation.send(
            node, peer, group.payload_bytes, self._arrived, peer, visit, action.token
        )
        member.deliveries[group.id] = (visit, transfer)

    def _arrived(self, node: int, visit: _Visit, token: bytes) -> None:
        simulation = self.simulation
        if not simulation.alive[node]:
            return
        now = simulation.engine.now
        visit.wire_ns = now - visit.wire_ns + simulation.network.latency_ns
        member = self._members[node]
        promise = member.balancer.claimed(visit.origin + 1, token, now)
        if promise is None or not self._claim(node, member, visit, promise):
            self._refuse(node, visit, "token")
        self._drive(node)

    def _refuse(self, node: int, visit: _Visit, why: str) -> None:
        self.simulation.network.message(node, visit.origin, 100, self._failed, visit, why)

    def _result(self, visit: _Visit) -> None:
        if self._expected(visit):
            simulation = self.simulation
            simulation.returned(visit.group)
            self._members[visit.origin].balancer.finished(
                visit.group, simulation.engine.now, wire_ns=visit.wire_ns
            )
            self._drive(visit.origin)
        else:
            self.simulation.ledger.duplicates += 1  # it was given up before

    def _failed(self, visit: _Visit, why: str) -> None:
        if self._expected(visit):
            member = self._members[visit.origin]
            member.balancer.failed(visit.group, self.simulation.engine.now, why=why)
            self._drive(visit.origin)

    def _expected(self, visit: _Visit) -> bool:
        """Whether the origin still waits for this visit; from now on it does not."""
        node = visit.origin
        member = self._members[node]
        if not self.simulation.alive[node] or self._lives[node] != visit.life:
            return False
        if visit.group not in member.deliveries or member.deliveries[visit.group][0] is not visit:
            return False
        del member.deliveries[visit.group]
        return True

    def _lost(self, node: int, peer: int) -> None:
        """The transport of *node* has noticed that *peer* is silent."""
        member = self._members[node]
        if not self.simulation.alive[node] or self.simulation.alive[peer]:
            return
        member.peers.discard(peer)
        member.balancer.gone(peer + 1, self.simulation.engine.now)
        self._drive(node)
        for visit in [visit for visit, _ in member.deliveries.values() if visit.peer == peer]:
            self._failed(visit, "silent")

    def _load(self, node: int, member: _Member, model: int) -> None:
        local = member.local
        held = len(local.accelerator.residents) + len(local.loading)
        if held >= local.slots() or model in local.accelerator.residents:
            raise EdgeError(
                f"the balancer of node {node} loads model {model} beside {held} of "
                f"{local.slots()} (a bug in edgesdk)"
            )
        ready = self.simulation.engine.now + MODELS[model].load_ns
        local.loading[model] = ready
        self.simulation.loads.append(self.simulation.engine.now)
        self.simulation.engine.at(ready, self._loaded, node, member, model)

    def _loaded(self, node: int, member: _Member, model: int) -> None:
        if self._here(node, member):
            del member.local.loading[model]
            member.local.accelerator.load(model)
            member.balancer.residents_changed(self.simulation.engine.now)
            self._drive(node)

    def _receive(self, source: int, target: int, data: bytes) -> None:
        if not self.simulation.alive[target]:
            return
        member = self._members[target]
        if source not in member.peers:
            return  # there is no association any more
        try:
            member.balancer.received(source + 1, data, self.simulation.engine.now)
        except MessageError:
            self.refused += 1
        self._drive(target)

    def _shake_hands(self, node: int, peer: int) -> None:
        """Opens an association; both ends hear of it when it stands."""
        simulation = self.simulation
        if peer == node or peer in self._members[node].peers or not simulation.alive[peer]:
            return
        for end, other in ((node, peer), (peer, node)):
            simulation.count_control(end, other, _HANDSHAKE_BYTES // 2 - 65)
        takes = _HANDSHAKE_TRIPS * simulation.network.latency_ns
        simulation.engine.at(simulation.engine.now + takes, self._shaken, node, peer)

    def _shaken(self, node: int, peer: int) -> None:
        if self.simulation.alive[node] and self.simulation.alive[peer]:
            for end, other in ((node, peer), (peer, node)):
                self._associate(end, other)
                self._drive(end)

    def _associate(self, node: int, peer: int) -> None:
        self._members[node].peers.add(peer)
        self._members[node].balancer.member(
            peer + 1,
            site=self.simulation.nodes[peer].region,
            now_ns=self.simulation.engine.now,
            address=(peer + 1).to_bytes(4, "big"),
        )
