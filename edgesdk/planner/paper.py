"""The paper's tables 6, 9, 11 and 13: published beside ours.

Kaseb, Mohan, Koh, Lu (IEEE TCC 2017). Its requirement vectors are reconstructed (see
:mod:`edgesdk.planner.cam2`), and so is what its strategies do: each row says by which rule ours
comes about. Its 24-hour run cannot be squared with the vectors and is not claimed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgesdk.planner.cam2 import Scenarios, scenario_problem
from edgesdk.planner.heuristics import ORDERS, RULES, first_fit
from edgesdk.planner.items import make_items
from edgesdk.planner.packing import Clock, solve
from edgesdk.planner.plan import Plan, make_plan
from edgesdk.planner.problem import Problem

__all__ = ["Optima", "PaperRow", "optima", "paper_rows"]

TABLES = {"A": 6, "B": 6, "C": 6, "1": 9, "2": 11, "3": 13}
FFOD = "FFOD (even first)"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One published row and ours by the rule that is named."""

    table: int
    scenario: str
    strategy: str
    published: dict[str, int]
    published_usd: float
    rule: str
    ours: dict[str, int]
    ours_usd: float

    @property
    def reproduced(self) -> bool:
        return self.published == self.ours


@dataclass(frozen=True, slots=True)
class Optima:
    """The proven optimum of a scenario with the paper's types and with all that it names."""

    table: int
    scenario: str
    paper_types: Plan
    all_types: Plan


def paper_rows(scenarios: Scenarios, name: str, *, clock: Clock) -> list[PaperRow]:
    """The published rows of one scenario; those without a table of the paper have none."""
    problem = scenario_problem(scenarios, name)
    published = scenarios.scenarios[name].published
    rows = []
    for strategy, counts in published.items():
        if not isinstance(counts, dict):
            continue
        rule, ours = _by_strategy(problem, strategy, clock)
        prices = {m.name: m.microusd for m in problem.machines}
        rows.append(
            PaperRow(
                TABLES.get(name, 0),
                name,
                strategy,
                dict(counts),
                float(published[f"{strategy}_usd"]),
                rule,
                ours,
                sum(prices[kind] * count for kind, count in ours.items()) / 1e6,
            )
        )
    return rows


def optima(scenarios: Scenarios, name: str, *, clock: Clock, seconds: float = 20.0) -> Optima:
    """Both optima of one scenario; a plan's status says whether it is proven."""
    plans = [
        solve(scenario_problem(scenarios, name, all_types=every), clock=clock, seconds=seconds)
        for every in (False, True)
    ]
    return Optima(TABLES.get(name, 0), name, plans[0], plans[1])


def _by_strategy(problem: Problem, strategy: str, clock: Clock) -> tuple[str, dict[str, int]]:
    alone = {"ST1": "m4.xlarge", "ST2": "c4.xlarge", "ST3": "r3.xlarge"}
    if strategy in alone:
        return f"{FFOD} on {alone[strategy]} alone", _ffod(problem, alone[strategy])
    if strategy == "heuristic":
        return f"{FFOD}, cheapest type", _cheapest_type(problem, _ffod)
    if strategy == "ST4":
        return f"{FFOD}, each program on its cheapest type", _per_program(problem)
    if strategy == "exact":
        return "exact", solve(problem, clock=clock, seconds=10).instances()
    return (
        "exact, on the cheapest type",
        _cheapest_type(problem, lambda p, kind: _exact(p, kind, clock)),
    )


def _ffod(problem: Problem, kind: str) -> dict[str, int]:
    alone = replace(problem, machines=tuple(m for m in problem.machines if m.name == kind))
    items = make_items(alone)
    order = np.argsort(-ORDERS["ordered deviation"](items), kind="stable").tolist()
    packed = first_fit(items, order, RULES["cheapest"])
    return make_plan(alone, items.machines(packed.patterns)).instances()


def _exact(problem: Problem, kind: str, clock: Clock) -> dict[str, int]:
    alone = replace(problem, machines=tuple(m for m in problem.machines if m.name == kind))
    return solve(alone, clock=clock, seconds=5).instances()


def _cheapest_type(
    problem: Problem, pack: Callable[[Problem, str], dict[str, int]]
) -> dict[str, int]:
    """The cheapest packing on one type of the size that the paper's heuristic opens."""
    small = min(m.capacity[0] for m in problem.machines)
    kinds = [m for m in problem.machines if m.capacity[0] == small]
    return min(
        (pack(problem, m.name) for m in kinds),
        key=lambda counts: sum(m.microusd * counts.get(m.name, 0) for m in problem.machines),
    )


def _per_program(problem: Problem) -> dict[str, int]:
    total: Counter[str] = Counter()
    for program in dict.fromkeys(c.name.partition("@")[0] for c in problem.classes):
        classes = tuple(c for c in problem.classes if c.name.partition("@")[0] == program)
        total.update(_cheapest_type(replace(problem, classes=classes), _ffod))
    return dict(total)
