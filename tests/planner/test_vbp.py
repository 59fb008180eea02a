"""Published instances of vector bin packing, a few of each set."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgesdk.errors import ConfigError
from edgesdk.planner import solve, verify
from edgesdk.planner.vbp import read_vbp

FOLDER = Path(__file__).parent / "vbp"


@pytest.mark.parametrize(
    ("name", "optimum", "allowed"),
    [("class7_20_3_0", 9, 0), ("class3_20_3_5", 7, 0), ("classF_60_3_0", 20, 1)],
)
def test_published_instances_come_near_their_optimum(name: str, optimum: int, allowed: int) -> None:
    problem = read_vbp((FOLDER / f"{name}.vbp").read_text(), file=name)
    plan = solve(problem, clock=time.monotonic, seconds=10)
    assert verify(problem, plan) == []
    assert optimum <= len(plan.machines) <= optimum + allowed
    assert plan.lower_bound_usd_per_hour <= optimum


def test_items_may_be_on_any_number_of_lines_and_several_of_a_kind() -> None:
    problem = read_vbp("2\n10 10\n2 5 5\n3 1 9 1", file="x.vbp")
    assert [(c.needs, c.count) for c in problem.classes] == [((5, 5), 3), ((1, 9), 1)]
    assert len(solve(problem, clock=time.monotonic).machines) == 3


def test_a_size_below_zero_counts_as_zero_and_the_bound_takes_it_back() -> None:
    problem = read_vbp("1\n10\n2\n10 3\n-10 1\n", file="x.vbp")
    plan = solve(problem, clock=time.monotonic, seconds=1)
    assert plan.microusd == 3_000_000
    assert plan.bound_microusd == 2_000_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "x.vbp:1: the file ends: expected the number of dimensions"),
        ("2\n10 x\n", "x.vbp:2: capacity 2 = x: expected a whole number"),
        ("1\n10\n1\n5", "x.vbp:4: the file ends: expected count of item 1"),
        ("1\n10\n1\n5 -1\n", "x.vbp:4: count of item 1 = -1"),
        ("1\n10\n1\n5 1\n7\n", "x.vbp:5: 7: expected the end after 1 kinds"),
        ("0\n", "the number of dimensions = 0"),
    ],
)
def test_a_mistake_names_its_line(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_vbp(text, file="x.vbp")
    assert told in str(refused.value)
