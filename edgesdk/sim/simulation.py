"""One policy on one workload: nodes, network and ledger around it, in virtual time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from edgesdk.sim.accelerator import Accelerator
from edgesdk.sim.engine import Engine
from edgesdk.sim.ledger import Ledger
from edgesdk.sim.network import Network, Transfer
from edgesdk.sim.workload import Arrival, Crash, Workload

__all__ = ["DATAGRAM_OVERHEAD", "RESULT_BYTES", "Policy", "Simulation"]

DATAGRAM_OVERHEAD = 65
"""Bytes of IP, UDP and DTLS around a control message."""
RESULT_BYTES = 600
"""Of the values of a group on their way back."""
_S = 1_000_000_000


class Simulation:
    """What a policy acts on. All instants are ns of virtual time; nodes are indices."""

    def __init__(self, workload: Workload, policy: Callable[[Simulation], Policy]) -> None:
        parameters = workload.parameters
        self.workload = workload
        self.parameters = parameters
        self.arrivals = workload.arrivals
        self.nodes = workload.nodes
        self.engine = Engine()
        self.network = Network(self.engine, parameters, [node.region for node in workload.nodes])
        self.ledger = Ledger(workload)
        self.alive = [True] * len(self.nodes)
        self.control_bytes = [0] * len(self.nodes)
        """Sent since the warm-up, with all overheads."""
        self.control_received = [0] * len(self.nodes)
        self.data_bytes = 0
        self.executed = 0
        self.loads: list[int] = []
        """When loads of models began, from the start on."""
        self.offloaded = 0
        """Groups whose values came from another node than their camera's."""
        self._open: list[set[int]] = [set() for _ in self.nodes]
        self._warm_ns = round(parameters.warm_up_s * _S)
        self.accelerators = [self._accelerator(node) for node in range(len(self.nodes))]
        self.policy = policy(self)

    def run(self) -> None:
        """Until every group has had time to end."""
        parameters = self.parameters
        for crash in self.workload.crashes:
            self.engine.at(crash.at_ns, self._crash, crash)
        self.policy.start()
        if self.arrivals:
            self.engine.at(self.arrivals[0].at_ns, self._arrive, 0)
        self.engine.run(round((parameters.duration_s + parameters.deadline_ms / 1e3 + 1) * _S))
        self.executed += sum(accelerator.executed for accelerator in self.accelerators)
        self.ledger.close()

    def send(
        self, source: int, target: int, size: int, arrived: Callable[..., None], *arguments: object
    ) -> Transfer:
        """Frames over the data plane; they arrive even if the sender crashes meanwhile."""
        self.data_bytes += size
        return self.network.send(source, target, size, arrived, *arguments)

    def returned(self, group: int) -> None:
        """The values of *group* are back at its camera from another node."""
        self.offloaded += not self.ledger.ends[group]
        self.ledger.result(group, self.engine.now)

    def count_control(self, source: int, target: int, size: int) -> None:
        """Meters a control datagram of *size* bytes with its overhead."""
        if self.engine.now >= self._warm_ns:
            self.control_bytes[source] += size + DATAGRAM_OVERHEAD
            self.control_received[target] += size + DATAGRAM_OVERHEAD

    def _accelerator(self, node: int) -> Accelerator:
        spec = self.nodes[node]
        costs = self.workload.service.costs[spec.kind]
        return Accelerator(self.engine, costs, spec.residents, partial(self._ended, node))

    def _arrive(self, index: int) -> None:
        if index + 1 < len(self.arrivals):
            self.engine.at(self.arrivals[index + 1].at_ns, self._arrive, index + 1)
        arrival = self.arrivals[index]
        if not self.alive[arrival.node]:
            self.ledger.leave(index)
            return
        if self.workload.crashes:
            self._open[arrival.node].add(index)
        self.policy.arrive(index, arrival)

    def _ended(self, node: int, job: int, ran: bool) -> None:
        self.policy.ended(node, job, ran)

    def _crash(self, crash: Crash) -> None:
        node = crash.node
        if not self.alive[node]:
            return
        self.alive[node] = False
        self.accelerators[node].dead = True
        for group in self._open[node]:
            self.ledger.leave(group)
        self._open[node].clear()
        self.policy.crashed(node)
        if crash.back_ns:
            self.engine.at(crash.back_ns, self._restart, node)

    def _restart(self, node: int) -> None:
        self.executed += self.accelerators[node].executed
        self.alive[node] = True
        self.accelerators[node] = self._accelerator(node)
        self.policy.restarted(node)


class Policy(ABC):
    """Where groups run. It ends every group by the simulation's ledger; what it forgets is lost."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def start(self) -> None:
        """Called once, at instant 0."""
        return

    @abstractmethod
    def arrive(self, group: int, arrival: Arrival) -> None:
        """*group* is complete at its camera, which is alive."""

    @abstractmethod
    def ended(self, node: int, job: int, ran: bool) -> None:
        """A job that this policy gave to the accelerator of *node* has run, or was dropped."""

    def crashed(self, node: int) -> None:
        """*node* is gone, with all that was in it."""
        return

    def restarted(self, node: int) -> None:
        """*node* is back, with the models of the start and nothing else."""
        return
