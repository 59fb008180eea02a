"""Whether a plan holds: every rule re-checked in integer units, apart from all that solves.

Shares no code with the search, on purpose: plain loops over Python's integers, which cannot
overflow, from the problem as it was given.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgesdk.planner.plan import Machine, Plan
from edgesdk.planner.problem import MachineType, Problem, StreamClass

__all__ = ["verify"]

_MOST_FAULTS = 20


def verify(problem: Problem, plan: Plan) -> list[str]:
    """What is wrong with *plan*, in words; empty where it holds. At most 20 faults are told."""
    classes = {c.name: c for c in problem.classes}
    types = {m.name: m for m in problem.machines}
    faults: list[str] = []
    placed = dict.fromkeys(classes, 0)
    used = dict.fromkeys(types, 0)
    cost = 0
    seen: set[str] = set()
    checked: dict[tuple[str, int], list[str]] = {}  # equal machines share one mapping
    for machine in plan.machines:
        if machine.id in seen:
            faults.append(f"machine {machine.id} is there twice")
        seen.add(machine.id)
        kind = types.get(machine.type)
        if kind is None:
            faults.append(f"machine {machine.id}: no type is named {machine.type}")
            continue
        used[machine.type] += 1
        cost += kind.microusd
        key = (machine.type, id(machine.streams))
        if key not in checked:
            checked[key] = _faults_of(problem, machine, kind, classes)
        faults += [f"machine {machine.id}: {fault}" for fault in checked[key]]
        for name, count in machine.streams.items():
            if name in placed:
                placed[name] += count
    for name, c in classes.items():
        if placed[name] != c.count:
            faults.append(f"class {name}: {placed[name]} streams are placed of {c.count}")
    for name, kind in types.items():
        if kind.limit is not None and used[name] > kind.limit:
            faults.append(f"machine type {name}: {used[name]} are used of at most {kind.limit}")
    faults += _apart_pairs(problem, plan)
    if cost != plan.microusd:
        faults.append(f"the plan says {plan.microusd} micro-dollars and costs {cost}")
    if plan.bound_microusd > plan.microusd:
        faults.append(f"the bound {plan.bound_microusd} is over the cost {plan.microusd}")
    if plan.status == "optimal" and plan.bound_microusd != plan.microusd:
        faults.append("the plan says optimal, and its bound is lower than its cost")
    return faults[:_MOST_FAULTS]


def _faults_of(
    problem: Problem, machine: Machine, kind: MachineType, classes: Mapping[str, StreamClass]
) -> list[str]:
    faults = []
    used = [0] * len(problem.resources)
    loaded: set[str] = set()
    for name, count in machine.streams.items():
        c = classes.get(name)
        if c is None:
            faults.append(f"no class is named {name}")
            continue
        if count < 1:
            faults.append(f"{count} streams of {name}: expected 1 or more")
        if c.machines is not None and kind.name not in c.machines:
            faults.append(f"{name} may not be on a {kind.name}")
        if c.at_most is not None and count > c.at_most:
            faults.append(f"{count} streams of {name}: at most {c.at_most} may share a machine")
        needs = c.needs_on.get(kind.device, c.needs)
        for r, need in enumerate(needs):
            used[r] += need * count
        loaded.update(c.loads)
    for load in loaded:
        for r, need in enumerate(problem.loads[load]):
            used[r] += need
    for r, resource in enumerate(problem.resources):
        room = kind.capacity[r]
        if not resource.whole:
            room = room * problem.target_ppm // 1_000_000
        if used[r] > room:
            faults.append(f"{resource.name}: {used[r]} units are used of {room}")
    return faults


def _apart_pairs(problem: Problem, plan: Plan) -> list[str]:
    """Faults against *apart* and *together*."""
    faults = []
    for machine in plan.machines if problem.apart else ():
        for names in problem.apart:
            both = [name for name in dict.fromkeys(names) if machine.streams.get(name, 0) > 0]
            if len(both) > 1:
                faults.append(f"machine {machine.id}: {' and '.join(both)} must not share it")
    for rule in problem.together:
        totals = {c.name: c.count for c in problem.classes}
        for machine in plan.machines:
            counts = {name: machine.streams.get(name, 0) for name in rule.classes}
            if not any(counts.values()):
                continue
            if rule.each == "stream" and len(set(counts.values())) > 1:
                faults.append(f"machine {machine.id}: {counts} must share stream by stream")
            if rule.each == "all" and counts != {n: totals[n] for n in rule.classes}:
                faults.append(f"machine {machine.id}: {counts} must all share one machine")
    return faults
