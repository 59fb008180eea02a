"""A plan: machines, and how many streams of each class are on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from edgesdk.planner.problem import Problem

__all__ = ["Machine", "Plan", "Status", "make_plan"]

Status = Literal["optimal", "feasible"]


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: *type* is a ``MachineType.name``, *streams* how many of each class it holds.

    Equal machines may share one *streams* mapping; it is immutable by convention.
    """

    id: str
    type: str
    streams: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """Where every stream runs, what that costs, and what nothing can cost less than.

    *status* is "optimal" only where *bound_microusd*, a proven lower bound, equals *microusd*.
    *seconds* is what the search took by the caller's clock, *method* what found the plan.
    """

    machines: tuple[Machine, ...]
    microusd: int
    bound_microusd: int
    status: Status
    seconds: float = 0.0
    method: str = ""

    @property
    def usd_per_hour(self) -> float:
        return self.microusd / 1e6

    @property
    def lower_bound_usd_per_hour(self) -> float:
        return self.bound_microusd / 1e6

    @property
    def gap(self) -> float:
        """How far over the bound the plan may be, as a share of the plan's cost."""
        return (self.microusd - self.bound_microusd) / self.microusd if self.microusd else 0.0

    def instances(self) -> dict[str, int]:
        """How many machines of each type."""
        return dict(Counter(machine.type for machine in self.machines))

    def bounded(self, bound_microusd: int) -> Plan:
        """The same plan under a bound that is proven now."""
        bound = max(self.bound_microusd, min(bound_microusd, self.microusd))
        status: Status = "optimal" if bound == self.microusd else "feasible"
        return replace(self, bound_microusd=bound, status=status)


def make_plan(
    problem: Problem,
    machines: Iterable[Machine],
    *,
    bound_microusd: int = 0,
    seconds: float = 0.0,
    method: str = "",
) -> Plan:
    """A plan of *machines* with its cost summed up."""
    kept = tuple(machines)
    prices = {m.name: m.microusd for m in problem.machines}
    cost = sum(prices[machine.type] for machine in kept)
    bound = min(bound_microusd, cost)
    status: Status = "optimal" if bound == cost else "feasible"
    return Plan(kept, cost, bound, status, seconds, method)
