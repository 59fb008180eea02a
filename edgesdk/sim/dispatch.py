"""What policies without reservations share: groups go to a node and run there, or late-drop."""

from __future__ import annotations

from abc import abstractmethod
from random import Random

from edgesdk.sim.seeded import seeded
from edgesdk.sim.simulation import RESULT_BYTES, Policy, Simulation
from edgesdk.sim.workload import Arrival

__all__ = ["Dispatcher", "draw_views"]

_VIEW = 24


class Dispatcher(Policy):
    """Sends each group once, to the node that :meth:`choose` names; all nodes use the same
    scheduler: earliest deadline first, same-model batches, nothing starts that would be late."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        parameters = simulation.parameters
        self.random = seeded(parameters.seed, "policy")
        self.latency_ns = simulation.network.latency_ns
        self.frame_bytes = parameters.frame_bytes
        costs = simulation.workload.service.costs
        self.costs = [costs[node.kind] for node in simulation.nodes]
        self.holders: dict[int, list[int]] = {}
        for number, node in enumerate(simulation.nodes):
            for model in node.residents:
                self.holders.setdefault(model, []).append(number)

    @abstractmethod
    def choose(self, group: int, arrival: Arrival) -> int | None:
        """The node to run *group* on; None: nobody can."""

    def arrive(self, group: int, arrival: Arrival) -> None:
        target = self.choose(group, arrival)
        if target is None:
            self.simulation.ledger.drop(group, "model")
        elif target == arrival.node:
            self._submit(group, arrival, target)
        else:
            size = arrival.items * self.frame_bytes
            self.simulation.send(arrival.node, target, size, self._submit, group, arrival, target)

    def ended(self, node: int, job: int, ran: bool) -> None:
        simulation = self.simulation
        origin = simulation.arrivals[job].node
        if not ran:
            simulation.ledger.drop(job, "deadline")
        elif origin == node:
            simulation.ledger.result(job, simulation.engine.now)
        else:
            simulation.network.message(node, origin, RESULT_BYTES, self._result, job)

    def holds(self, node: int, model: int) -> bool:
        return model in self.simulation.nodes[node].residents

    def fits_at_home(self, group: int, arrival: Arrival) -> bool:
        """Whether the camera's own accelerator would end *group* in time."""
        simulation = self.simulation
        return (
            simulation.accelerators[arrival.node].quote(
                arrival.model,
                arrival.items,
                simulation.engine.now,
                simulation.ledger.deadline_ns(group),
            )
            is not None
        )

    def remote_ns(self, arrival: Arrival, node: int) -> int:
        """What *arrival* takes on an idle *node*, the way there and back included."""
        link = self.simulation.network.out[arrival.node].ns_per_byte
        wire = round(arrival.items * self.frame_bytes * link) + 2 * self.latency_ns
        return wire + self.costs[node][arrival.model][arrival.items - 1]

    def _submit(self, group: int, arrival: Arrival, target: int) -> None:
        simulation = self.simulation
        if not simulation.alive[target]:
            return  # lost, and nobody knows
        deadline = simulation.ledger.deadline_ns(group)
        if target != arrival.node:
            deadline -= self.latency_ns
        simulation.accelerators[target].submit(group, arrival.model, arrival.items, deadline)

    def _result(self, group: int) -> None:
        self.simulation.returned(group)


def draw_views(simulation: Simulation, random: Random) -> list[list[int]]:
    """24 peers for each node: a third of its region, the rest from everywhere, at least 6 holders
    of each model that its camera needs."""
    nodes = simulation.nodes
    everyone = range(len(nodes))
    regions: dict[int, list[int]] = {}
    holders: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        regions.setdefault(node.region, []).append(number)
        for model in node.residents:
            holders.setdefault(model, []).append(number)
    views = []
    for number, node in enumerate(nodes):
        chosen: dict[int, None] = {}

        def take(wanted: int, among: list[int] | range, chosen: dict[int, None] = chosen) -> None:
            for peer in random.sample(among, min(wanted, len(among))):
                chosen[peer] = None

        for model in dict.fromkeys((*node.models, *node.shifted)):
            take(_VIEW // 4, holders.get(model, []))
        take(_VIEW // 3, regions[node.region])
        chosen.pop(number, None)
        while len(chosen) < min(_VIEW, len(nodes) - 1):
            take(min(_VIEW, len(nodes)), everyone)
            chosen.pop(number, None)
        peers = list(chosen)
        views.append(peers[: max(_VIEW, 1)])
    return views
