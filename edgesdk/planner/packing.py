"""The search for the cheapest plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgesdk.planner.heuristics import best_first_fit
from edgesdk.planner.items import make_items
from edgesdk.planner.plan import Plan, make_plan
from edgesdk.planner.problem import Problem

__all__ = ["solve"]

Clock = Callable[[], float]


def solve(
    problem: Problem,
    *,
    clock: Clock,
    seconds: float = 30.0,
    progress: Callable[[Plan], None] | None = None,
) -> Plan:
    """The cheapest plan found within *seconds* of *clock*."""
    start = clock()
    items = make_items(problem)
    packed = best_first_fit(items)
    return make_plan(
        problem,
        items.machines(packed.patterns),
        seconds=clock() - start,
        method=packed.method,
    )
