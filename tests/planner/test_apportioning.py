"""Streams that all differ, on machines of unlike proportions: which type is to hold which."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from edgesdk.errors import PlanInfeasible
from edgesdk.planner import MachineType, Problem, Resource, StreamClass, replan, solve, verify
from edgesdk.planner.apportioning import apportion
from edgesdk.planner.bounds import cut_bound
from edgesdk.planner.items import make_items
from edgesdk.planner.synthetic import random_problem

CORES_GB = (Resource("cpu", "cores", 1000), Resource("memory", "GB", 1000))


def unlike_machines() -> tuple[MachineType, ...]:
    """One with memory, one with cores, and a small even one that is cheapest for most streams."""
    return (
        MachineType("wide", (8_000, 64_000), 338_000),
        MachineType("fast", (16_000, 4_000), 147_000),
        MachineType("even", (4_000, 4_000), 82_000),
    )


def scattered(streams: int, seed: int = 1, machines: tuple[MachineType, ...] = ()) -> Problem:
    rng = np.random.default_rng(seed)
    needs = np.exp(rng.normal((4.9, 5.4), (0.8, 0.7), (streams, 2))).astype(int)
    classes = tuple(
        StreamClass(f"camera-{i}", 1, (int(cpu), min(2800, int(memory))))
        for i, (cpu, memory) in enumerate(np.minimum(needs, 2800))
    )
    return Problem(CORES_GB, classes, machines or unlike_machines())


def test_streams_that_all_differ_come_near_the_bound_on_machines_of_unlike_proportions() -> None:
    problem = scattered(1500)
    plan = solve(problem, clock=time.monotonic, seconds=20.0, gap=0.02)
    assert verify(problem, plan) == []
    assert plan.gap <= 0.03
    assert len(plan.instances()) > 1


def test_shared_loads_and_streams_apart_are_no_reason_to_pack_by_totals() -> None:
    plain = scattered(1000)
    loaded = tuple(replace(c, loads=("model",)) for c in plain.classes)
    names = tuple(c.name for c in plain.classes[:3])
    problem = replace(plain, classes=loaded, loads={"model": (0, 100)}, apart=(names,))
    plan = solve(problem, clock=time.monotonic, seconds=10.0, gap=0.02)
    assert verify(problem, plan) == []
    assert plan.gap <= 0.12
    assert len(plan.instances()) > 1


def test_the_bound_knows_that_one_types_memory_is_no_help_to_anothers_cores() -> None:
    """Resource by resource, ten full fast ones and one wide one would have enough of both."""
    machines = (
        MachineType("fast", (10_000, 1_000), 100_000),
        MachineType("wide", (1_000, 10_000), 100_000),
    )
    classes = tuple(StreamClass(f"even-{i}", 1, (700, 700)) for i in range(20))
    problem = Problem(CORES_GB, classes, machines, target_ppm=1_000_000)
    found = apportion(make_items(problem), seconds=1.0)
    assert found is not None
    each = cut_bound(make_items(problem), found.cut) / 20
    assert each == pytest.approx(70_000, rel=1e-6)  # 700 of the 1,000 that is scarce there
    assert solve(problem, clock=time.monotonic).status == "optimal"


def test_when_needs_change_a_little_few_streams_move_for_hardly_more_than_a_fresh_plan() -> None:
    problem = scattered(1500)
    before = solve(problem, clock=time.monotonic, seconds=10.0, gap=0.02)
    rng = np.random.default_rng(3)
    shaken = (
        replace(c, needs=tuple(int(n * rng.uniform(0.95, 1.05)) for n in c.needs))
        for c in problem.classes
    )
    changed = replace(problem, classes=tuple(shaken))
    found = replan(changed, before, clock=time.monotonic, seconds=8.0)
    assert verify(changed, found.plan) == []
    assert found.moved <= 150
    assert found.plan.microusd <= 1.02 * found.fresh.microusd


@pytest.mark.parametrize("seed", range(40))
def test_no_plan_costs_less_than_the_bound_of_the_split(seed: int) -> None:
    problem = random_problem(np.random.default_rng(seed), rules=seed % 2 == 1)
    items = make_items(problem)
    found = apportion(items, seconds=1.0)
    try:
        plan = solve(problem, clock=time.monotonic, seconds=0.3)
    except PlanInfeasible:
        return
    if found is not None:
        assert cut_bound(items, found.cut) <= plan.microusd


def test_a_limited_type_is_counted_up_to_its_limit() -> None:
    free = MachineType("there already", (8_000, 64_000), 0, limit=3)
    with_three = make_items(scattered(400, machines=(free, *unlike_machines())))
    without = make_items(scattered(400))
    found, other = apportion(with_three, seconds=1.0), apportion(without, seconds=1.0)
    assert found is not None
    assert other is not None
    assert found.machines[0] == pytest.approx(3)
    assert 0 < cut_bound(with_three, found.cut) < cut_bound(without, other.cut)
