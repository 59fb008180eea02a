"""The policies to compare with: none of them asks before it sends."""

from __future__ import annotations

from dataclasses import dataclass

from edgesdk.sim.dispatch import Dispatcher, draw_views
from edgesdk.sim.simulation import Simulation
from edgesdk.sim.workload import Arrival

__all__ = ["Argmin", "Local", "Static", "TwoChoices", "UniformRandom", "Weighted"]

_S = 1_000_000_000
_DIGEST_BYTES = 32


class Local(Dispatcher):
    """Every camera for itself."""

    def choose(self, group: int, arrival: Arrival) -> int | None:
        return arrival.node if self.holds(arrival.node, arrival.model) else None


class Static(Dispatcher):
    """Each camera goes round all holders of the model, itself included, whatever they do."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._turn: dict[tuple[int, int], int] = {}

    def choose(self, group: int, arrival: Arrival) -> int | None:
        holders = self.holders.get(arrival.model)
        if not holders:
            return None
        key = arrival.node, arrival.model
        turn = self._turn.get(key)
        if turn is None:
            turn = self.random.randrange(len(holders))
        self._turn[key] = (turn + 1) % len(holders)
        return holders[turn]


class Weighted(Dispatcher):
    """A random holder, in proportion to its speed."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._speeds = {
            model: [1e9 / self.costs[node][model][simulation.parameters.group - 1] for node in who]
            for model, who in self.holders.items()
        }

    def choose(self, group: int, arrival: Arrival) -> int | None:
        holders = self.holders.get(arrival.model)
        if not holders:
            return None
        return self.random.choices(holders, self._speeds[arrival.model])[0]


@dataclass(slots=True)
class _Digest:
    at_ns: int
    backlog_ns: int


class Overflow(Dispatcher):
    """What does not fit at home goes to a peer of the view, chosen by digests as old as they are.

    Each node sends its watchers a digest every *period*; who was silent for three of them is
    avoided.
    """

    period_s = 4.0

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self.views = draw_views(simulation, self.random)
        self.watchers: list[list[int]] = [[] for _ in self.views]
        for node, view in enumerate(self.views):
            for peer in view:
                self.watchers[peer].append(node)
        self.period_ns = round((simulation.parameters.gossip_s or self.period_s) * _S)
        self.digests: list[_Digest | None] = [None] * len(self.views)

    def start(self) -> None:
        for node in range(len(self.views)):
            self.simulation.engine.at(self.random.randrange(self.period_ns), self._tell, node)

    def restarted(self, node: int) -> None:
        self.digests[node] = None

    def choose(self, group: int, arrival: Arrival) -> int | None:
        if self.fits_at_home(group, arrival):
            return arrival.node
        now = self.simulation.engine.now
        left = self.simulation.ledger.deadline_ns(group) - now
        able = [
            peer
            for peer in self.views[arrival.node]
            if self.holds(peer, arrival.model)
            and (digest := self.digests[peer]) is not None
            and now - digest.at_ns <= 3 * self.period_ns
            and self.remote_ns(arrival, peer) <= left
        ]
        if able:
            return self.pick(able, arrival)
        return arrival.node if self.holds(arrival.node, arrival.model) else None

    def pick(self, able: list[int], arrival: Arrival) -> int:
        return self.random.choice(able)

    def expected_ns(self, peer: int, arrival: Arrival) -> int:
        """When *peer* would end the group, by its digest."""
        digest = self.digests[peer]
        backlog = digest.backlog_ns if digest else 0
        return backlog + self.remote_ns(arrival, peer)

    def _tell(self, node: int) -> None:
        simulation = self.simulation
        now = simulation.engine.now
        simulation.engine.at(now + self.period_ns, self._tell, node)
        if not simulation.alive[node]:
            return
        self.digests[node] = _Digest(now, simulation.accelerators[node].backlog_ns())
        for watcher in self.watchers[node]:
            simulation.count_control(node, watcher, _DIGEST_BYTES)


class UniformRandom(Overflow):
    """A random holder of the view."""


class TwoChoices(Overflow):
    """The better of two random holders of the view, by stale digests."""

    def pick(self, able: list[int], arrival: Arrival) -> int:
        two = self.random.sample(able, min(2, len(able)))
        return min(two, key=lambda peer: self.expected_ns(peer, arrival))


class Argmin(Overflow):
    """The best holder of the view, by stale digests: it herds."""

    def pick(self, able: list[int], arrival: Arrival) -> int:
        return min(able, key=lambda peer: self.expected_ns(peer, arrival))
