"""A problem as integer arrays: what the search works on.

Streams that must share are one *item*, and items with equal needs and rules are one kind with a
demand. A *pattern* is how many of each kind one machine holds, int64 of shape (kinds,).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.plan import Machine
from edgesdk.planner.problem import MachineType, Problem, StreamClass

__all__ = ["UNLIMITED", "Items", "Pattern", "Unit", "as_pattern", "make_items"]

Ints = NDArray[np.int64]
Pattern = tuple[int, tuple[tuple[int, int], ...]]
"""A machine type's index, and (kind, how many) in order of kind."""

Unit = tuple[Mapping[str, int], int]
"""What one item stands for, streams by class, and how many such items there are."""

UNLIMITED = np.int64(1) << 50


@dataclass(frozen=True, eq=False)
class Items:
    """Kinds of items and types of machines; arrays are read-only by convention.

    Shapes: demand (kinds,); need, for each type, (kinds, resources), shared between types of one
    device; room (types, resources); price, limit (types,); most (types, kinds), how many of a kind
    alone fit one machine, 0 where it may not be there; loads (groups, resources); uses (kinds,
    groups) bool; apart (kinds, kinds) bool.
    """

    problem: Problem
    units: tuple[tuple[Unit, ...], ...]
    demand: Ints
    need: tuple[Ints, ...]
    room: Ints
    price: Ints
    limit: Ints
    most: Ints
    loads: Ints
    uses: NDArray[np.bool_]
    apart: NDArray[np.bool_]

    @property
    def kinds(self) -> int:
        return len(self.demand)

    @property
    def types(self) -> int:
        return len(self.price)

    @property
    def plain(self) -> bool:
        """Neither shared loads nor kinds that must be apart."""
        return not self.uses.any() and not self.apart.any()

    @cached_property
    def same_need(self) -> bool:
        """Whether every kind needs the same on all types."""
        return all(need is self.need[0] for need in self.need)

    def used(self, kind: int, counts: Ints) -> Ints:
        """What *counts* of each item use of a machine of type *kind*, shared loads once."""
        total: Ints = counts @ self.need[kind]
        if self.uses.size:
            total = total + self.uses[counts > 0].any(axis=0) @ self.loads
        return total

    def fits(self, kind: int, counts: Ints) -> bool:
        if (counts > self.most[kind]).any() or (self.used(kind, counts) > self.room[kind]).any():
            return False
        there = counts > 0
        return not (self.apart[there][:, there]).any()

    def dense(self, pattern: Pattern) -> Ints:
        counts = np.zeros(self.kinds, np.int64)
        for item, count in pattern[1]:
            counts[item] = count
        return counts

    def cost(self, patterns: Mapping[Pattern, int]) -> int:
        return sum(int(self.price[kind]) * n for (kind, _), n in patterns.items())

    def machines(self, patterns: Mapping[Pattern, int]) -> list[Machine]:
        """The machines that *patterns*, with how many of each, stand for.

        A kind that is covered more often than demanded is left out of the last ones; machines
        that then hold nothing are left out too.
        """
        left = [list(units) for units in self.units]  # consumed from the end
        made: list[Machine] = []
        numbers: dict[int, int] = {}
        for (kind, counts), times in sorted(patterns.items(), key=lambda item: -len(item[0][1])):
            name = self.problem.machines[kind].name
            shared: Mapping[str, int] = {}
            for _ in range(times):
                streams: dict[str, int] = {}
                for item, count in counts:
                    _draw(left[item], count, streams)
                if streams:
                    shared = shared if shared == streams else streams
                    numbers[kind] = numbers.get(kind, 0) + 1
                    made.append(Machine(f"{name}-{numbers[kind]}", name, shared))
        return made


def as_pattern(kind: int, counts: Iterable[int]) -> Pattern:
    return kind, tuple((item, int(count)) for item, count in enumerate(counts) if count)


def _draw(left: list[Unit], count: int, streams: dict[str, int]) -> None:
    while count and left:
        bundle, there = left[-1]
        taken = min(there, count)
        for name, each in bundle.items():
            streams[name] = streams.get(name, 0) + each * taken
        count -= taken
        if taken == there:
            left.pop()
        else:
            left[-1] = (bundle, there - taken)


def make_items(problem: Problem) -> Items:
    """*problem* as arrays. Kinds without demand are left out."""
    bundles = _bundles(problem)
    load_names = list(problem.loads)
    classes = {c.name: c for c in problem.classes}
    devices = list(dict.fromkeys(m.device for m in problem.machines))
    apart_of = _apart_of(problem)
    merged: dict[object, list[Unit]] = {}
    for bundle, count in bundles:
        members = [(classes[name], each) for name, each in bundle.items()]
        merged.setdefault(_key(members, devices, apart_of), []).append((bundle, count))
    units = tuple(tuple(reversed(found)) for found in merged.values())
    firsts = [[(classes[n], each) for n, each in found[0][0].items()] for found in merged.values()]
    kinds, types = len(units), len(problem.machines)
    demand = np.array([sum(count for _, count in found) for found in units], np.int64)
    by_device = {device: _needs(firsts, device, len(problem.resources)) for device in devices}
    room = np.array([problem.room(m) for m in problem.machines], np.int64)
    room = room.reshape(types, len(problem.resources))
    uses = np.zeros((kinds, len(load_names)), bool)
    loads = np.array(list(problem.loads.values()), np.int64)
    loads = loads.reshape(len(load_names), len(problem.resources))
    places = {name: g for g, name in enumerate(load_names)}
    for item, members in enumerate(firsts):
        for c, _ in members:
            uses[item, [places[name] for name in c.loads]] = True
    apart = np.zeros((kinds, kinds), bool)
    for i, members in enumerate(firsts):
        forbidden = set().union(*(apart_of.get(c.name, set()) for c, _ in members))
        for j, others in enumerate(firsts) if forbidden else ():
            apart[i, j] = i != j and any(c.name in forbidden for c, _ in others)
    need = tuple(by_device[m.device] for m in problem.machines)
    most = _most(problem.machines, firsts, need, room, demand, uses @ loads if load_names else None)
    total = max(1, int(demand.sum()))
    limits = [total if m.limit is None else min(m.limit, total) for m in problem.machines]
    limits = [
        int(UNLIMITED) if m.limit is None else limit
        for m, limit in zip(problem.machines, limits, strict=True)
    ]
    price = np.array([m.microusd for m in problem.machines], np.int64)
    limit = np.array(limits, np.int64)
    return Items(problem, units, demand, need, room, price, limit, most, loads, uses, apart)


def _bundles(problem: Problem) -> list[Unit]:
    counts = {c.name: c.count for c in problem.classes}
    bundles: list[Unit] = []
    for rule in problem.together:
        names = [name for name in rule.classes if counts[name]]
        if rule.each == "all" and names:
            bundles.append(({name: counts[name] for name in names}, 1))
        elif names:
            bundles.append((dict.fromkeys(rule.classes, 1), counts[names[0]]))
        for name in rule.classes:
            counts[name] = 0
    return bundles + [({name: 1}, count) for name, count in counts.items() if count]


def _apart_of(problem: Problem) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for names in problem.apart:
        for name in names:
            found.setdefault(name, set()).update(set(names) - {name})
    return found


def _key(
    members: Sequence[tuple[StreamClass, int]],
    devices: Sequence[str],
    apart_of: Mapping[str, set[str]],
) -> object:
    """Equal for items that are interchangeable."""
    if any(c.at_most is not None or c.name in apart_of for c, _ in members):
        return tuple((c.name, each) for c, each in members)
    parts = []
    for c, each in members:
        needs = tuple(c.needs_on.get(device, c.needs) for device in devices)
        parts.append((needs, c.machines, tuple(sorted(set(c.loads))), each))
    return tuple(parts)


def _needs(
    firsts: Sequence[Sequence[tuple[StreamClass, int]]], device: str, resources: int
) -> Ints:
    rows = [
        [
            sum(c.needs_on.get(device, c.needs)[r] * each for c, each in members)
            for r in range(resources)
        ]
        for members in firsts
    ]
    return np.array(rows, np.int64).reshape(len(firsts), resources)


def _most(
    machines: Sequence[MachineType],
    firsts: Sequence[Sequence[tuple[StreamClass, int]]],
    need: Sequence[Ints],
    room: Ints,
    demand: Ints,
    own_loads: Ints | None,
) -> Ints:
    most = np.zeros((len(machines), len(firsts)), np.int64)
    for t, machine in enumerate(machines):
        left = np.broadcast_to(room[t], need[t].shape)
        if own_loads is not None:
            left = left - own_loads
        fitting = np.where(need[t] > 0, left // np.maximum(need[t], 1), UNLIMITED)
        fitting[(left < 0).any(axis=1)] = 0
        most[t] = np.maximum(0, np.minimum(fitting.min(axis=1, initial=UNLIMITED), demand))
        for item, members in enumerate(firsts):
            for c, each in members:
                if c.machines is not None and machine.name not in c.machines:
                    most[t, item] = 0
                if c.at_most is not None:
                    most[t, item] = min(most[t, item], c.at_most // each)
    return most
