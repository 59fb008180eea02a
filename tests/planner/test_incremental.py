"""Plans that change little: after a loss, when demand or the input has changed."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from edgesdk.errors import PlanInfeasible
from edgesdk.planner import (
    Machine,
    MachineType,
    Plan,
    Problem,
    Resource,
    StreamClass,
    Together,
    moved_streams,
    repair,
    replan,
    solve,
    verify,
)
from edgesdk.planner.cam2 import builtin_scenarios, scenario_problem
from edgesdk.planner.matching import matched
from edgesdk.planner.restoring import restored
from edgesdk.planner.synthetic import own_vectors, random_problem

CPU_MEMORY = (Resource("cpu"), Resource("memory"))


def plan_of(problem: Problem, seconds: float = 20.0, **options: float) -> Plan:
    return solve(problem, clock=time.monotonic, seconds=seconds, **options)


def test_after_a_loss_only_the_lost_streams_move() -> None:
    problem = own_vectors(
        np.random.default_rng(1), scenario_problem(builtin_scenarios(), "3"), spread=0.1
    )
    plan = plan_of(problem, 5.0, gap=0.05)
    lost = plan.machines[7]
    after = repair(problem, plan, [lost.id])
    assert verify(problem, after) == []
    assert lost.id not in {m.id for m in after.machines}
    assert moved_streams(plan.machines, after.machines) == sum(lost.streams.values())


@pytest.mark.parametrize("seed", range(3))
def test_when_needs_change_few_streams_move_for_nearly_the_cost_of_a_fresh_plan(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    problem = scenario_problem(builtin_scenarios(), "3", target_ppm=800_000)
    before = plan_of(problem, 5.0)
    changed = replace(
        problem,
        classes=tuple(
            replace(
                c,
                count=round(c.count * (1 + rng.uniform(-0.05, 0.05))),
                needs=tuple(round(n * (1 + rng.uniform(-0.05, 0.05))) for n in c.needs),
            )
            for c in problem.classes
        ),
    )
    found = replan(changed, before, clock=time.process_time, seconds=10)
    assert verify(changed, found.plan) == []
    assert found.moved <= 0.1 * problem.streams()
    assert found.moved == moved_streams(before.machines, found.plan.machines)
    assert found.plan.microusd <= 1.01 * found.fresh.microusd
    assert list(found.trade_off) == sorted(found.trade_off, key=lambda point: point.moved)


def test_five_percent_less_of_streams_that_all_differ_ends_in_fewer_machines() -> None:
    problem = own_vectors(np.random.default_rng(0), scenario_problem(builtin_scenarios(), "2"))
    before = plan_of(problem, 5.0, gap=0.01)
    less = replace(
        problem,
        classes=tuple(
            replace(c, needs=tuple(int(0.95 * n) for n in c.needs)) for c in problem.classes
        ),
    )
    found = replan(less, before, clock=time.process_time, seconds=10)
    assert verify(less, found.plan) == []
    assert len(found.plan.machines) < len(before.machines)
    assert found.moved <= 0.1 * problem.streams()
    assert found.plan.microusd <= 1.01 * found.fresh.microusd


def test_machines_of_another_plan_get_the_names_under_which_least_moves() -> None:
    before = [Machine("m-1", "m", {"a": 5}), Machine("m-2", "m", {"b": 5})]
    after = [Machine("m-1", "m", {"b": 4}), Machine("m-2", "m", {"a": 5}), Machine("x", "n", {})]
    named = matched(before, after)
    assert {m.id: dict(m.streams) for m in named} == {"m-2": {"b": 4}, "m-1": {"a": 5}, "n-1": {}}
    assert moved_streams(before, named) == 0


def test_streams_go_back_home_where_there_is_room_or_two_may_change_places() -> None:
    problem = Problem(
        CPU_MEMORY,
        (StreamClass("a", 4, (30, 10)), StreamClass("b", 2, (40, 10))),
        (MachineType("m", (100, 100), 1_000_000),),
        target_ppm=1_000_000,
    )
    before = [Machine("m-1", "m", {"a": 2, "b": 1}), Machine("m-2", "m", {"a": 2, "b": 1})]
    after = [Machine("m-1", "m", {"a": 3}), Machine("m-2", "m", {"a": 1, "b": 1})]
    after.append(Machine("m-3", "m", {"b": 1}))
    back = restored(problem, before, after, lambda: False)
    assert moved_streams(before, back) < moved_streams(before, after)
    assert {m.id: dict(m.streams) for m in back} == {m.id: dict(m.streams) for m in before}


def test_an_earlier_plan_against_new_rules_is_carried_as_far_as_these_allow() -> None:
    problem = Problem(
        CPU_MEMORY,
        (StreamClass("a", 6, (10, 10)), StreamClass("b", 6, (10, 10))),
        (MachineType("m", (100, 100), 1_000_000), MachineType("n", (100, 100), 900_000)),
    )
    before = plan_of(problem)
    for ruled in (
        replace(problem, apart=(("a", "b"),)),
        replace(problem, together=(Together(("a", "b")),)),
        replace(problem, machines=problem.machines[:1]),
        replace(problem, classes=tuple(replace(c, at_most=2) for c in problem.classes)),
    ):
        found = replan(ruled, before, clock=time.monotonic, seconds=2)
        assert verify(ruled, found.plan) == []


def test_random_plans_replanned_for_other_needs_limits_and_types_hold() -> None:
    checked = 0
    for seed in range(20_000, 20_016):
        rng = np.random.default_rng(seed)
        problem = random_problem(rng, rules=seed % 2 == 0)
        paired = {name for rule in problem.together for name in rule.classes}
        classes = tuple(
            replace(
                c,
                count=c.count if c.name in paired else int(c.count * rng.uniform(0.9, 1.1)),
                needs=tuple(int(n * rng.uniform(0.9, 1.1)) for n in c.needs),
            )
            for c in problem.classes
        )
        machines = tuple(
            replace(m, limit=None if m.limit is None else max(0, m.limit - int(rng.integers(3))))
            for m in problem.machines
        )
        try:
            before = solve(problem, clock=time.process_time, seconds=0.1)
            changed = replace(problem, classes=classes, machines=machines)
            found = replan(changed, before, clock=time.process_time, seconds=0.3)
        except PlanInfeasible:
            continue
        assert verify(changed, found.plan) == []
        checked += 1
    assert checked > 3
