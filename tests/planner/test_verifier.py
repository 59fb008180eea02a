"""The verifier: each rule broken by hand is told."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import edgesdk.planner.verifier
from edgesdk.planner import (
    Machine,
    MachineType,
    Plan,
    Problem,
    Resource,
    StreamClass,
    Together,
    make_plan,
    verify,
)

PROBLEM = Problem(
    (Resource("cpu"), Resource("models", whole=True)),
    (
        StreamClass("a", 2, (3, 0), loads=("model",)),
        StreamClass("b", 1, (3, 0), machines=frozenset({"large"})),
        StreamClass("c", 2, (1, 0), at_most=1),
    ),
    (
        MachineType("small", (10, 1), 1000, limit=2),
        MachineType("large", (20, 2), 3000),
    ),
    target_ppm=700_000,
    loads={"model": (1, 1)},
    apart=(("a", "b"),),
)
GOOD = make_plan(
    PROBLEM,
    [
        Machine("s1", "small", {"a": 2}),
        Machine("l1", "large", {"b": 1, "c": 1}),
        Machine("s2", "small", {"c": 1}),
    ],
)


def with_machines(*machines: Machine) -> Plan:
    return replace(GOOD, machines=machines)


def test_a_plan_that_holds_has_no_fault() -> None:
    assert verify(PROBLEM, GOOD) == []


@pytest.mark.parametrize(
    ("machines", "fault"),
    [
        ((GOOD.machines[0], GOOD.machines[1]), "class c: 1 streams are placed of 2"),
        ((*GOOD.machines, GOOD.machines[2]), "machine s2 is there twice"),
        ((*GOOD.machines, Machine("x", "huge", {})), "no type is named huge"),
        (
            (*GOOD.machines, Machine("s3", "small", {})),
            "machine type small: 3 are used of at most 2",
        ),
        (
            (Machine("s1", "small", {"a": 2, "b": 1}), *GOOD.machines[1:]),
            "b may not be on a small",
        ),
        (
            (Machine("l1", "large", {"a": 2, "b": 1, "c": 2}),),
            "2 streams of c: at most 1 may share a machine",
        ),
        ((Machine("l1", "large", {"a": 2, "b": 1}),), "a and b must not share it"),
        ((Machine("s1", "small", {"a": 2, "c": 1}),), "cpu: 8 units are used of 7"),
        ((Machine("s1", "small", {"d": 1}),), "no class is named d"),
        ((Machine("s1", "small", {"a": -1}),), "expected 1 or more"),
    ],
)
def test_each_broken_rule_is_told(machines: tuple[Machine, ...], fault: str) -> None:
    assert any(fault in told for told in verify(PROBLEM, with_machines(*machines)))


def test_a_wrong_cost_and_a_claim_without_proof_are_told() -> None:
    assert any("costs 5000" in f for f in verify(PROBLEM, replace(GOOD, microusd=4000)))
    assert any("says optimal" in f for f in verify(PROBLEM, replace(GOOD, status="optimal")))
    over = replace(GOOD, bound_microusd=6000)
    assert any("is over the cost" in f for f in verify(PROBLEM, over))


def test_streams_that_must_share_are_followed_one_by_one() -> None:
    problem = replace(
        PROBLEM,
        classes=(StreamClass("a", 2, (1, 0)), StreamClass("b", 2, (1, 0))),
        apart=(),
        together=(Together(("a", "b")),),
    )
    good = make_plan(problem, [Machine("1", "large", {"a": 2, "b": 2})])
    assert verify(problem, good) == []
    split = make_plan(
        problem, [Machine("1", "large", {"a": 2, "b": 1}), Machine("2", "large", {"b": 1})]
    )
    assert any("must share" in fault for fault in verify(problem, split))


def test_the_verifier_shares_no_code_with_the_search() -> None:
    tree = ast.parse(Path(edgesdk.planner.verifier.__file__).read_text(encoding="utf-8"))
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {m for m in modules if m and m.startswith("edgesdk")} == {
        "edgesdk.planner.plan",
        "edgesdk.planner.problem",
    }
    assert not any(isinstance(n, ast.Import) for n in ast.walk(tree))
