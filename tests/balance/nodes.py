"""Nodes in virtual time for the tests of the balancer: real balancers over the real C scheduler,
with a wire that the test can cut, delay and change."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from edgesdk.balance import (
    Balancer,
    CancelDelivery,
    Deliver,
    Drop,
    Evict,
    Group,
    Load,
    Local,
    Meet,
    Promise,
    Reach,
    Run,
    Send,
    Settings,
)
from edgesdk.core.sched import Batch, Reservation, Scheduler

MS = 1_000_000
SECOND = 1_000_000_000


class Machine(Local):
    """A node's models and scheduler; a batch of n items takes n times the model's cost.

    Of ``operators``, some of the models are an application's own operators.
    """

    def __init__(self, costs: dict[int, int], *, catalogue: dict[int, int] | None = None) -> None:
        self.catalogue = {**(catalogue or {}), **costs}
        self.sched = Scheduler(max_streams=1, max_apps=1, max_models=64)
        self.slots_held: dict[int, int] = {}
        self.room = 4
        self.loading: dict[int, int] = {}
        self.busy = 0.0
        self.claims = 0
        self.extra_backlog = 0
        self.operators: set[int] = set()
        for model in costs:
            self.load(model)

    def load(self, model: int) -> None:
        cost = self.catalogue[model]
        self.slots_held[model] = self.sched.add_model([cost * n for n in range(1, 9)])

    def quote(self, model, items, *, release_ns, deadline_ns, now_ns):
        return self.sched.quote(
            self.slots_held[model],
            items,
            release_ns=release_ns,
            deadline_ns=deadline_ns,
            now_ns=now_ns,
        )

    def reserve(self, model, items, *, release_ns, deadline_ns, now_ns):
        kept = self.sched.offer(
            self.slots_held[model],
            items,
            release_ns=release_ns,
            deadline_ns=deadline_ns,
            now_ns=now_ns,
        )
        return None if kept is None else Promise(kept.id, kept.ends_ns)

    def cancel(self, promise):
        self.sched.cancel(Reservation(promise.id, promise.ends_ns))

    def cost_ns(self, model, items):
        return self.catalogue[model] * items if model in self.slots_held else 0

    def residents(self):
        return [model for model in self.slots_held if model not in self.operators]

    def installed(self):
        return sorted(self.operators)

    def lane(self, model):
        return int(model in self.operators)

    def variant(self, model):
        return model * 10 if model in self.slots_held else 0

    def backlog_ns(self, now_ns):
        return self.extra_backlog

    def utilisation(self):
        return self.busy

    def ready_ns(self, model):
        return self.loading.get(model)

    def loadable(self):
        return list(self.catalogue)

    def expected_ns(self, model, items):
        return self.catalogue.get(model, 0) * items

    def slots(self):
        return self.room

    def reserved(self) -> int:
        return self.sched.stats()["reserved"]


class Net:
    """Several nodes and the events between them."""

    def __init__(self, *, latency_ns: int = MS, nic_bps: float = 1e8) -> None:
        self.now = 0
        self.latency_ns = latency_ns
        self.settings = Settings(nic_bps=nic_bps)
        self.balancers: dict[int, Balancer] = {}
        self.machines: dict[int, Machine] = {}
        self.frozen: set[int] = set()
        self.log: list[tuple[int, object]] = []
        """(node, action) of everything but datagrams."""
        self.sent: list[tuple[int, int, bytes]] = []
        self.pass_on: Callable[[int, int, bytes], bool] = lambda source, target, data: True
        self.delivers = False
        """Whether data arrive by themselves, at the pace of the sender's interface."""
        self.into: Callable[[int, int], int] = lambda arrives, takes: arrives
        """When data that could arrive then, and take so long, are in."""
        self._free: dict[int, int] = {}
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0

    def add(self, node: int, machine: Machine, *, site: int = 0, seed: int = 0) -> Balancer:
        balancer = Balancer(
            self.settings,
            node=node,
            site=site,
            service_class=1,
            local=machine,
            rng=random.Random(node * 1000 + seed),
        )
        for other, known in self.balancers.items():
            known.member(node, site=site, now_ns=self.now)
            balancer.member(other, site=known._seat.site, now_ns=self.now)
        self.balancers[node] = balancer
        self.machines[node] = machine
        self.drain()
        return balancer

    def at(self, when: int, call: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (when, self._serial, call))

    def run(self, until: int) -> None:
        while True:
            timers = [
                b.next_ns
                for n, b in self.balancers.items()
                if n not in self.frozen and b.next_ns is not None
            ]
            following = min(timers + [e[0] for e in self._events[:1]], default=None)
            if following is None or following > until:
                break
            self.now = max(self.now, following)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
                self.drain()
            for node, balancer in self.balancers.items():
                if node not in self.frozen:
                    balancer.advance(self.now)
            self.drain()
        self.now = until

    def place(self, node: int, group: Group) -> None:
        self.balancers[node].place(group, self.now)
        self.drain()

    def drain(self) -> None:
        for node, balancer in self.balancers.items():
            while actions := balancer.actions():
                for action in actions:
                    if isinstance(action, Send):
                        self._send(node, action.peer, action.data)
                    else:
                        self.log.append((node, action))
                    if self.delivers and isinstance(action, Deliver):
                        self._deliver(node, action)

    def _send(self, source: int, target: int, data: bytes) -> None:
        self.sent.append((source, target, data))
        if target in self.balancers and self.pass_on(source, target, data):
            self.at(self.now + self.latency_ns, lambda: self._receive(source, target, data))

    def _deliver(self, node: int, action: Deliver) -> None:
        takes = int(action.group.payload_bytes * 8e9 / self.settings.nic_bps)
        sent = self.now
        self._free[node] = max(self._free.get(node, 0), sent) + takes
        arrives = self.into(self._free[node] + self.latency_ns, takes)

        def arrive() -> None:
            promise = self.balancers[action.peer].claimed(node, action.token, self.now)
            if promise is None:
                self.balancers[node].failed(action.group.id, self.now, why="token")
                return
            self.machines[action.peer].cancel(promise)  # as if it had run
            wire = self.now - sent + self.latency_ns
            self.at(self.now + self.latency_ns + MS, lambda: finish(wire))

        def finish(wire: int) -> None:
            self.balancers[node].finished(action.group.id, self.now, wire_ns=wire)

        self.at(arrives, arrive)

    def _receive(self, source: int, target: int, data: bytes) -> None:
        if target not in self.frozen:
            self.balancers[target].received(source, data, self.now)

    def of(self, kind: type, node: int | None = None) -> list:
        return [a for n, a in self.log if isinstance(a, kind) and node in (None, n)]


def a_group(number: int = 1, **changes) -> Group:
    values = {
        "id": number,
        "model": 5,
        "variant": 0,
        "items": 4,
        "captured_ns": 0,
        "deadline_ns": SECOND,
        "payload_bytes": 240_000,
        "app": 0,
        "weight": 1.0,
        "reach": Reach.CLUSTER,
    }
    return Group(**{**values, **changes})


__all__ = [
    "MS",
    "SECOND",
    "Batch",
    "CancelDelivery",
    "Deliver",
    "Drop",
    "Evict",
    "Load",
    "Machine",
    "Meet",
    "Net",
    "Run",
    "a_group",
]
