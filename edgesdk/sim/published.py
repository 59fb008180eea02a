"""Two published balancers, as far as their papers say, on the same queues as all the others."""

from __future__ import annotations

from edgesdk.sim.baselines import Overflow
from edgesdk.sim.simulation import Simulation
from edgesdk.sim.workload import Arrival

__all__ = ["Distream", "VideoJam"]

_S = 1_000_000_000
_STATE_BYTES = 32


class Distream(Overflow):
    """Distream (Zeng et al., SenSys 2020): every 500 ms each camera compares loads; where the
    imbalance index, max / mean - 1, is above 0.1, the heaviest hands the lightest at most 15
    items. Here among the 24 of a view, every node for itself; what it hands over is what arrives
    next and would wait."""

    period_s = 0.5
    _most_items = 15
    _threshold = 0.1

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._allowed: list[dict[int, int]] = [{} for _ in self.views]
        """Items that may go to a peer until the next comparison, by node."""

    def choose(self, group: int, arrival: Arrival) -> int | None:
        home = arrival.node
        held = self.holds(home, arrival.model)
        allowed = self._allowed[home]
        for peer, items in allowed.items():
            if items >= arrival.items and self.holds(peer, arrival.model):
                busy = self.simulation.accelerators[home].backlog_ns()
                if held and busy <= self._backlog(peer) + self.remote_ns(arrival, peer):
                    continue
                allowed[peer] = items - arrival.items
                return peer
        return home if held else super().choose(group, arrival)

    def _backlog(self, peer: int) -> int:
        digest = self.digests[peer]
        return digest.backlog_ns if digest else 0

    def _tell(self, node: int) -> None:
        super()._tell(node)
        if not self.simulation.alive[node]:
            return
        mine = self.simulation.accelerators[node].backlog_ns()
        loads = {peer: self._backlog(peer) for peer in self.views[node] if self.digests[peer]}
        everyone = [mine, *loads.values()]
        mean = sum(everyone) / len(everyone)
        self._allowed[node] = {}
        if mean and max(everyone) / mean - 1 > self._threshold and mine > mean:
            lightest = sorted(loads, key=lambda peer: (loads[peer], peer))
            self._allowed[node] = dict.fromkeys(lightest[:4], self._most_items)


class VideoJam(Overflow):
    """In the manner of VideoJam (2024): each node predicts its load from what arrived lately and
    its trend, tells its neighbours every second, and shares what it will not manage among them in
    proportion to what they predict to have left."""

    period_s = 1.0

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._work = [0] * len(self.views)  # offered by the camera since the last digest, ns
        self._level = [0.0] * len(self.views)
        self._trend = [0.0] * len(self.views)
        self._spare = [0.0] * len(self.views)

    def choose(self, group: int, arrival: Arrival) -> int | None:
        home = arrival.node
        self._work[home] += self.costs[home][arrival.model][arrival.items - 1]
        if self.holds(home, arrival.model) and self.random.random() < self._share_kept(home):
            return home
        return super().choose(group, arrival)

    def pick(self, able: list[int], arrival: Arrival) -> int:
        return self.random.choices(able, [max(self._spare[peer], 0.01) for peer in able])[0]

    def _share_kept(self, home: int) -> float:
        predicted = self._level[home] + self._trend[home]
        return 1.0 if predicted <= 1.0 else 1.0 / predicted

    def _tell(self, node: int) -> None:
        super()._tell(node)
        offered = self._work[node] / self.period_ns
        self._work[node] = 0
        # Holt's linear smoothing.
        level = 0.5 * offered + 0.5 * (self._level[node] + self._trend[node])
        self._trend[node] = 0.3 * (level - self._level[node]) + 0.7 * self._trend[node]
        self._level[node] = level
        busy = self.simulation.accelerators[node].utilisation()
        self._spare[node] = 1.0 - max(level + self._trend[node], busy)
