"""Exchanges between machines that are nearly full."""

from __future__ import annotations

from collections import Counter

import numpy as np

from edgesdk.planner import MachineType, Problem, Resource, StreamClass
from edgesdk.planner.balancing import balance
from edgesdk.planner.heuristics import Packed
from edgesdk.planner.items import Items, as_pattern, make_items

CPU_MEMORY = (Resource("cpu"), Resource("memory"))


def items_of(*classes: StreamClass) -> Items:
    machines = (MachineType("m", (10, 10), 1000),)
    return make_items(Problem(CPU_MEMORY, classes, machines, target_ppm=1_000_000))


def balanced(items: Items, *machines: tuple[int, ...]) -> Packed | None:
    """What comes of *machines*, each the counts it begins with; all else is left over."""
    patterns = Counter(as_pattern(0, counts) for counts in machines)
    left = items.demand - np.sum(machines, axis=0)
    start = Packed(patterns, left, 0, "by hand")
    mix = np.array([len(machines)])
    return balance(items, mix, start, lambda: False, rng=np.random.default_rng(0))


def test_lopsided_machines_are_exchanged_into_full_ones() -> None:
    items = items_of(StreamClass("cpu", 4, (4, 1)), StreamClass("memory", 4, (1, 4)))
    packed = balanced(items, (2, 0), (0, 2))  # each machine holds two of each: 10 of 10 used
    assert packed is not None
    assert packed.patterns == {(0, ((0, 2), (1, 2))): 2}
    assert packed.whole


def test_what_no_exchange_makes_fit_is_said_to_be_not_found() -> None:
    items = items_of(StreamClass("large", 3, (6, 1)))
    assert balanced(items, (1,), (1,)) is None


def test_rules_that_it_does_not_know_are_left_to_others() -> None:
    problem = Problem(
        CPU_MEMORY,
        (StreamClass("a", 2, (1, 1)), StreamClass("b", 2, (1, 1))),
        (MachineType("m", (10, 10), 1000),),
        apart=(("a", "b"),),
    )
    assert balanced(make_items(problem), (1, 0), (0, 1)) is None


def test_streams_go_to_no_machine_on_which_they_may_not_be() -> None:
    problem = Problem(
        CPU_MEMORY,
        (StreamClass("a", 2, (1, 1), machines=frozenset({"other"})), StreamClass("b", 2, (1, 1))),
        (MachineType("m", (10, 10), 1000), MachineType("other", (10, 10), 1000)),
    )
    items = make_items(problem)
    start = Packed({}, items.demand, 0, "by hand")
    rng = np.random.default_rng(0)
    assert balance(items, np.array([2, 0]), start, lambda: False, rng=rng) is None
    packed = balance(items, np.array([1, 1]), start, lambda: False, rng=rng)
    assert packed is not None
    assert all(kind == 1 or dict(counts).keys() <= {1} for kind, counts in packed.patterns)
