"""The fleets that a day begins with, from the planner's own packing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.heuristics import ORDERS, RULES, first_fit
from edgesdk.planner.items import make_items
from edgesdk.planner.migration import MachineKind
from edgesdk.planner.packing import Clock, solve
from edgesdk.planner.plan import Machine
from edgesdk.planner.problem import MachineType, Problem, Resource, StreamClass
from edgesdk.sim.day_world import Day

__all__ = ["InitialFleet", "ffod_fleet", "planned_fleet"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

InitialFleet = list[tuple[int, Ints]]
"""For each machine the index of its kind and the streams on it."""

_RESOURCES = (Resource("cpu", "cores", 1_000_000), Resource("memory", "GB", 1_000_000))


def ffod_fleet(
    day: Day, kinds: Sequence[MachineKind], cpu: Floats, active: Bools, share: float
) -> InitialFleet:
    """The paper's ST4: first fit of ordered deviations, each program on its cheapest type.

    cpu: what each stream is taken to need; a class takes that of its neediest stream.
    """
    made: InitialFleet = []
    program = np.array([kind.program for kind in day.kinds])[day.kind]
    for name in dict.fromkeys(kind.program for kind in day.kinds):
        mine = active & (program == name)
        fleets = []
        for kind in kinds:
            members = _members(day, mine)
            problem = _problem(day, [kind], cpu, members, np.max, (share, share))
            items = make_items(problem)
            order = np.argsort(-ORDERS["ordered deviation"](items), kind="stable").tolist()
            packed = first_fit(items, order, RULES["cheapest"])
            fleets.append((packed.microusd, kind, items.machines(packed.patterns), members))
        _, kind, machines, members = min(fleets, key=lambda fleet: fleet[0])
        made += _drawn(machines, members, [k.name for k in kinds])
    return made


def planned_fleet(
    day: Day,
    kinds: Sequence[MachineKind],
    cpu: Floats,
    active: Bools,
    shares: tuple[float, float],
    clock: Clock,
) -> InitialFleet:
    """The planner's plan for the classes' mean needs.

    Streams of a class are dealt out over the machines by turns of their zones, so that what one
    zone needs more at an hour another needs less. shares: of CPU and memory that are filled.
    """
    members = _members(day, active)
    problem = _problem(day, kinds, cpu, members, np.mean, shares)
    plan = solve(problem, clock=clock, seconds=10.0, gap=0.002)
    return _drawn(plan.machines, members, [k.name for k in kinds])


def _members(day: Day, active: Bools) -> dict[str, list[int]]:
    """The streams of each class, those of its zones evenly among each other."""
    found = {}
    for index, kind in enumerate(day.kinds):
        streams = np.flatnonzero(active & (day.kind == index))
        rank = np.zeros(len(streams))
        for zone in range(len(day.settings.zones)):
            here = day.zone[streams] == zone
            rank[here] = (np.arange(int(here.sum())) + 0.5) / max(int(here.sum()), 1)
        if len(streams):
            found[kind.name] = [int(s) for s in streams[np.argsort(rank, kind="stable")]]
    return found


def _problem(
    day: Day,
    kinds: Sequence[MachineKind],
    cpu: Floats,
    members: Mapping[str, list[int]],
    of: Callable[[Floats], np.floating],
    shares: tuple[float, float],
) -> Problem:
    classes = tuple(
        StreamClass(
            name,
            len(streams),
            (int(np.ceil(of(cpu[streams]) * 1e6)), int(np.ceil(day.memory[streams[0]] * 1e6))),
        )
        for name, streams in members.items()
    )
    machines = tuple(
        MachineType(
            kind.name,
            (int(kind.capacity[0] * shares[0] * 1e6), int(kind.capacity[1] * shares[1] * 1e6)),
            round(kind.price * 1e6),
            kind.limit,
        )
        for kind in kinds
    )
    return Problem(_RESOURCES, classes, machines, target_ppm=1_000_000)


def _drawn(
    machines: Sequence[Machine], members: Mapping[str, list[int]], names: Sequence[str]
) -> InitialFleet:
    left = {name: list(streams) for name, streams in members.items()}
    return [
        (
            names.index(machine.type),
            np.array([left[c].pop() for c, n in machine.streams.items() for _ in range(n)], int),
        )
        for machine in machines
    ]
