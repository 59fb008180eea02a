"""A dispatcher that sees every queue and every link at the instant it decides, and asks nobody.

Greedy, so no bound: where the network is the limit a policy may beat it. The figure called
*oracle* is the best of :data:`RULES` on the same workload.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesdk.core.sched import Reservation
from edgesdk.sim.simulation import RESULT_BYTES, Policy, Simulation
from edgesdk.sim.workload import Arrival

__all__ = ["RULES", "Omniscient", "Rule"]

_TRIES = 12


@dataclass(frozen=True, slots=True)
class Rule:
    """*home* tries the camera's own node first, with *headroom*, a share of the time left; else
    nodes are tried in the order of *by*: when they would "end" or "start" the group, or, of those
    in time, how many models they hold ("flexibility")."""

    home: bool
    headroom: float
    by: str


RULES = (
    Rule(False, 0.0, "start"),
    Rule(True, 0.3, "start"),
    Rule(True, 0.1, "start"),
    Rule(True, 0.0, "start"),
    Rule(False, 0.0, "end"),
    Rule(True, 0.0, "flexibility"),
)


class Omniscient(Policy):
    """Places each group at once, on a reservation that the target's scheduler has checked."""

    def __init__(self, simulation: Simulation, rule: Rule = RULES[0]) -> None:
        super().__init__(simulation)
        self._rule = rule
        nodes = simulation.nodes
        costs = simulation.workload.service.costs
        self._costs = np.array(
            [[costs[node.kind][m] for m in range(len(costs[0]))] for node in nodes], dtype=np.int64
        )  # node, model, items - 1
        self._flexibility = np.array([len(node.residents) for node in nodes])
        holders: dict[int, list[int]] = {}
        for number, node in enumerate(nodes):
            for model in node.residents:
                holders.setdefault(model, []).append(number)
        self._holders = {model: np.array(found) for model, found in holders.items()}
        self._alive = np.ones(len(nodes), dtype=bool)
        self._free_at = np.zeros(len(nodes), dtype=np.int64)
        # Links by the node whose traffic they carry: of a radio cell all nodes share one.
        self._region = np.array([node.region for node in nodes])
        regions = int(self._region.max()) + 1
        self._cells = bool(simulation.parameters.radio_mbps)
        self._door = self._region if self._cells else np.arange(len(nodes))
        self._out = np.zeros(max(len(nodes), regions), dtype=np.int64)
        self._into = self._out if self._cells else self._out.copy()
        self._up = np.zeros(regions, dtype=np.int64)
        self._down = np.zeros(regions, dtype=np.int64)
        # A result takes its own time to send, too.
        self._latency = simulation.network.latency_ns + 100_000
        self._jobs: dict[tuple[int, int], Reservation] = {}

    def arrive(self, group: int, arrival: Arrival) -> None:
        home = arrival.node
        now = self.simulation.engine.now
        deadline = self.simulation.ledger.deadline_ns(group)
        held = arrival.model in self.simulation.nodes[home].residents
        if held and self._rule.home:
            latest = deadline - round(self._rule.headroom * (deadline - now))
            if self._place(group, arrival, home, now, latest):
                return
        holders = self._holders.get(arrival.model)
        if holders is not None and self._elsewhere(group, arrival, holders, deadline):
            return
        if held and self._rule.headroom and self._place(group, arrival, home, now, deadline):
            return
        self.simulation.ledger.drop(group, "deadline" if holders is not None else "model")

    def ended(self, node: int, job: int, ran: bool) -> None:
        simulation = self.simulation
        origin = simulation.arrivals[job].node
        self._look(node)
        if not ran:
            simulation.ledger.drop(job, "deadline")
        elif origin == node:
            simulation.ledger.result(job, simulation.engine.now)
        else:
            simulation.network.message(node, origin, RESULT_BYTES, self._result, job)

    def crashed(self, node: int) -> None:
        self._alive[node] = False

    def restarted(self, node: int) -> None:
        self._alive[node] = True
        self._look(node)

    def _elsewhere(self, group: int, arrival: Arrival, holders: np.ndarray, deadline: int) -> bool:
        now = self.simulation.engine.now
        size = arrival.items * self.simulation.parameters.frame_bytes
        arrives = self._arrivals(arrival.node, holders, now, size)
        starts = np.maximum(arrives, self._free_at[holders])
        ends = starts + self._costs[holders, arrival.model, arrival.items - 1] + self._latency
        ends[holders == arrival.node] -= self._latency
        fits = np.flatnonzero((ends <= deadline) & self._alive[holders])
        if self._rule.by == "start":
            order = np.argsort(starts[fits], kind="stable")
        elif self._rule.by == "end":
            order = np.argsort(ends[fits], kind="stable")
        else:
            order = np.lexsort((ends[fits], self._flexibility[holders[fits]]))
        for candidate in fits[order[:_TRIES]]:
            node = int(holders[candidate])
            latest = deadline - (0 if node == arrival.node else self._latency)
            if self._place(group, arrival, node, int(arrives[candidate]), latest):
                return True
        return False

    def _arrivals(self, home: int, holders: np.ndarray, now: int, size: int) -> np.ndarray:
        """When *size* bytes that leave now would be at each of *holders*."""
        network = self.simulation.network
        takes = np.full(len(holders), size * network.out[home].ns_per_byte)
        leaves = max(int(self._out[self._door[home]]), now)
        starts = np.maximum(self._into[self._door[holders]], leaves)
        if network.up:
            takes_up = size * network.up[0].ns_per_byte
            across = self._region[holders] != self._region[home]
            up = max(int(self._up[self._region[home]]), leaves)
            far = np.maximum(np.maximum(self._down[self._region[holders]], up), starts)
            starts = np.where(across, far, starts)
            takes = np.where(across, np.maximum(takes_up, takes), takes)
        if self._cells:
            takes = np.where(self._region[holders] == self._region[home], 2 * takes, takes)
        arrives: np.ndarray = (starts + takes).astype(np.int64) + self._latency
        arrives[holders == home] = now
        return arrives

    def _place(self, group: int, arrival: Arrival, node: int, release: int, latest: int) -> bool:
        simulation = self.simulation
        kept = simulation.accelerators[node].reserve(arrival.model, arrival.items, release, latest)
        if kept is None:
            return False
        self._jobs[group, node] = kept
        if node == arrival.node:
            self._claim(group, node)
            return True
        size = arrival.items * simulation.parameters.frame_bytes
        self._occupy(arrival.node, node, size)
        simulation.send(arrival.node, node, size, self._claim, group, node)
        self._look(node)
        return True

    def _occupy(self, source: int, target: int, size: int) -> None:
        network, now = self.simulation.network, self.simulation.engine.now
        takes = round(size * network.out[source].ns_per_byte)
        here, there = self._region[source], self._region[target]
        for free, link, ns_per_byte in (
            (self._out, self._door[source], 0.0),
            (self._up, here, network.up[0].ns_per_byte if network.up else 0.0),
            (self._down, there, network.up[0].ns_per_byte if network.up else 0.0),
            (self._into, self._door[target], 0.0),
        ):
            if free is self._up or free is self._down:
                if not network.up or here == there:
                    continue
                free[link] = max(free[link], now) + round(size * ns_per_byte)
            else:
                free[link] = max(free[link], now) + takes

    def _claim(self, group: int, node: int) -> None:
        kept = self._jobs.pop((group, node))
        if not self.simulation.alive[node]:
            return  # lost on its way
        if not self.simulation.accelerators[node].claim(kept, group):
            self.simulation.ledger.drop(group, "deadline")
        self._look(node)

    def _look(self, node: int) -> None:
        now = self.simulation.engine.now
        self._free_at[node] = now + self.simulation.accelerators[node].backlog_ns()

    def _result(self, group: int) -> None:
        self.simulation.returned(group)
