"""The policies by name, and how to run one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edgesdk.errors import UsageError
from edgesdk.sim.documents import Figures
from edgesdk.sim.figures import figures
from edgesdk.sim.simulation import Policy, Simulation
from edgesdk.sim.workload import Workload

__all__ = ["OURS", "POLICIES", "best_oracle", "decision_us", "simulate"]

OURS = "ours"

POLICIES = {
    "local": "baselines:Local",
    "static": "baselines:Static",
    "speed-weighted": "baselines:Weighted",
    "random": "baselines:UniformRandom",
    "two-choices": "baselines:TwoChoices",
    "argmin": "baselines:Argmin",
    "distream": "published:Distream",
    "videojam": "published:VideoJam",
    OURS: "cluster:Cluster",
    "omniscient": "omniscient:Omniscient",
}
"""The class behind each name, which is imported when it is wanted."""

_PERFECT = 0.9999


def policy(name: str) -> Callable[[Simulation], Policy]:
    """What makes a policy for a simulation.

    Raises:
        UsageError: there is no policy of this name.
    """
    import importlib

    if name not in POLICIES:
        raise UsageError(f"there is no policy {name!r}; there are: {', '.join(POLICIES)}")
    module, _, found = POLICIES[name].partition(":")
    made: Callable[[Simulation], Policy] = getattr(
        importlib.import_module(f"edgesdk.sim.{module}"), found
    )
    return made


def simulate(workload: Workload, name: str) -> Figures:
    """Runs policy *name* on *workload*; ours gathers fewer frames than a group's if it wants."""
    if name == "omniscient":
        return best_oracle(workload)[0]
    if name == OURS:
        from edgesdk.sim.gathering import gathered

        workload = gathered(workload)
    simulation = Simulation(workload, policy(name))
    simulation.run()
    return figures(name, simulation)


def decision_us(workload: Workload) -> float:
    """Median wall time, on this machine, of :meth:`Balancer.place` on *workload*."""
    from edgesdk.sim.cluster import Cluster
    from edgesdk.sim.gathering import gathered

    simulation = Simulation(gathered(workload), partial(Cluster, timed=True))
    simulation.run()
    assert isinstance(simulation.policy, Cluster)
    taken = sorted(simulation.policy.decisions_ns)
    return round(taken[len(taken) // 2] / 1000, 1) if taken else 0.0


def best_oracle(workload: Workload) -> tuple[Figures, int]:
    """The omniscient dispatcher's best figures, and the index of the rule that gave them; rules
    after one that served all but 1 frame in 10,000 are not tried."""
    from edgesdk.sim.omniscient import RULES, Omniscient

    best: tuple[Figures, int] | None = None
    for number, rule in enumerate(RULES):
        simulation = Simulation(workload, partial(Omniscient, rule=rule))
        simulation.run()
        found = figures("omniscient", simulation)
        if best is None or found.goodput > best[0].goodput:
            best = found, number
        if found.goodput >= _PERFECT:
            break
    assert best is not None
    return best
