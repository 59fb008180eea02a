"""Machines with what is on them, to which streams are added and from which they are taken.

For plans that change a little: the cost is that of what changes, not of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.items import UNLIMITED
from edgesdk.planner.plan import Machine
from edgesdk.planner.problem import Problem, Vector

__all__ = ["Bundle", "Fleet"]

Ints = NDArray[np.int64]

Bundle = tuple[tuple[str, int], ...]
"""Streams that move together: (class, how many); mostly one of one class."""


class Fleet:
    """A plan's machines as room that is left. Mutable; not thread-safe."""

    def __init__(self, problem: Problem, machines: Iterable[Machine]) -> None:
        self.problem = problem
        self._types = {m.name: m for m in problem.machines}
        self._classes = {c.name: c for c in problem.classes}
        self._partners = {name: rule for rule in problem.together for name in rule.classes}
        self._apart: dict[str, set[str]] = {}
        for names in problem.apart:
            for name in names:
                self._apart.setdefault(name, set()).update(set(names) - {name})
        self.machines = list(machines)
        self.streams = [dict(machine.streams) for machine in self.machines]
        self.changed = [False] * len(self.machines)
        self._rooms = {m.name: np.array(problem.room(m), np.int64) for m in problem.machines}
        self.left = np.array(
            [self._left_on(m.type, s) for m, s in zip(self.machines, self.streams, strict=True)],
            np.int64,
        ).reshape(len(self.machines), len(problem.resources))
        index = {m.name: i for i, m in enumerate(problem.machines)}
        self._type_of = np.array([index[machine.type] for machine in self.machines], np.int64)

    def bundles(self, streams: Mapping[str, int]) -> list[tuple[Bundle, int]]:
        """What is on one machine, as bundles and how many of each."""
        found: list[tuple[Bundle, int]] = []
        done: set[str] = set()
        for name, count in streams.items():
            rule = self._partners.get(name)
            if rule is None:
                found.append((((name, 1),), count))
            elif name not in done:
                done.update(rule.classes)
                if rule.each == "all":
                    whole = tuple((n, streams[n]) for n in rule.classes if n in streams)
                    found.append((whole, 1))
                else:
                    found.append((tuple((n, 1) for n in rule.classes), count))
        return found

    def overfull(self) -> list[int]:
        return [int(i) for i in np.flatnonzero((self.left < 0).any(axis=1))]

    def put(self, bundle: Bundle, count: int) -> int:
        """Put up to *count* bundles where they fit, tightest first; returns how many found none."""
        fit = self._fitting(bundle)
        rows = np.flatnonzero(fit)
        scale = np.maximum(1, self.left[rows].max(axis=0, initial=1))
        order = rows[np.argsort((self.left[rows] / scale).sum(axis=1), kind="stable")]
        for row in order:
            if not count:
                break
            placed = min(count, int(fit[row]))
            self._change(int(row), bundle, placed)
            count -= placed
        return count

    def take(self, row: int, bundle: Bundle, count: int) -> None:
        self._change(row, bundle, -count)

    def drop(self, rows: Iterable[int]) -> Counter[Bundle]:
        """Remove machines; returns what was on them."""
        gone = set(rows)
        found: Counter[Bundle] = Counter()
        for row in gone:
            found.update(dict(self.bundles(self.streams[row])))
        keep = [i for i in range(len(self.machines)) if i not in gone]
        self.machines = [self.machines[i] for i in keep]
        self.streams = [self.streams[i] for i in keep]
        self.changed = [self.changed[i] for i in keep]
        self.left, self._type_of = self.left[keep], self._type_of[keep]
        return found

    def result(self) -> list[Machine]:
        """The machines as they are now, those that hold nothing left out."""
        return [
            Machine(machine.id, machine.type, streams) if changed else machine
            for machine, streams, changed in zip(
                self.machines, self.streams, self.changed, strict=True
            )
            if streams
        ]

    def needs(self, bundle: Bundle, kind: str) -> Ints:
        """What one *bundle* needs on a machine of type *kind*, shared loads left out."""
        machine = self._types[kind]
        total = np.zeros(len(self.problem.resources), np.int64)
        for name, each in bundle:
            total += np.array(self._classes[name].needs_at(machine), np.int64) * each
        return total

    def room(self, row: int) -> Ints:
        """What a plan may use of machine *row*."""
        return self._rooms[self.machines[row].type]

    def _left_on(self, kind: str, streams: Mapping[str, int]) -> list[int]:
        machine = self._types[kind]
        left = [int(r) for r in self._rooms[kind]]
        loaded: set[str] = set()
        for name, count in streams.items():
            c = self._classes[name]
            for r, need in enumerate(c.needs_on.get(machine.device, c.needs)):
                left[r] -= need * count
            loaded.update(c.loads)
        for load in loaded:
            for r, need in enumerate(self.problem.loads[load]):
                left[r] -= need
        return left

    def _fitting(self, bundle: Bundle) -> Ints:
        """How many of *bundle* each machine takes."""
        size = len(self.machines)
        fit = np.zeros(size, np.int64)
        if not size:
            return fit
        members = [self._classes[name] for name, _ in bundle]
        loads = {load for c in members for load in c.loads}
        most = min(
            (c.at_most // each for c, (_, each) in zip(members, bundle, strict=True) if c.at_most),
            default=None,
        )
        forbidden: set[str] = set().union(*(self._apart.get(name, set()) for name, _ in bundle))
        for kinds, need in self._by_need(bundle):
            rows = np.flatnonzero(np.isin(self._type_of, kinds))
            if not len(rows):
                continue
            left = self.left[rows]
            if loads:
                left = left - np.array([self._extra(int(row), loads) for row in rows], np.int64)
            each = np.where(need > 0, left // np.maximum(need, 1), UNLIMITED).min(axis=1)
            each[(left < 0).any(axis=1)] = 0
            fit[rows] = np.maximum(0, each)
        if most is not None or forbidden:
            for row in np.flatnonzero(fit):
                streams = self.streams[row]
                if not forbidden.isdisjoint(streams):
                    fit[row] = 0
                elif most is not None:
                    there = max(streams.get(name, 0) // each for name, each in bundle)
                    fit[row] = min(int(fit[row]), max(0, most - there))
        return fit

    def _by_need(self, bundle: Bundle) -> list[tuple[list[int], Ints]]:
        """The types that may hold *bundle*, by index, together where it needs the same on them."""
        members = [self._classes[name] for name, _ in bundle]
        groups: dict[str, list[int]] = {}
        for index, machine in enumerate(self.problem.machines):
            if all(c.machines is None or machine.name in c.machines for c in members):
                device = machine.device if any(c.needs_on for c in members) else ""
                groups.setdefault(device, []).append(index)
        return [
            (kinds, self.needs(bundle, self.problem.machines[kinds[0]].name))
            for kinds in groups.values()
        ]

    def _extra(self, row: int, loads: set[str]) -> Vector:
        """What machine *row* would need more for those of *loads* that it has not."""
        there = {load for name in self.streams[row] for load in self._classes[name].loads}
        new = loads - there
        width = len(self.problem.resources)
        return tuple(sum(self.problem.loads[load][r] for load in new) for r in range(width))

    def _change(self, row: int, bundle: Bundle, count: int) -> None:
        streams = self.streams[row]
        for name, each in bundle:
            streams[name] = streams.get(name, 0) + each * count
            if not streams[name]:
                del streams[name]
        self.changed[row] = True
        if self.problem.loads:
            self.left[row] = self._left_on(self.machines[row].type, streams)
        else:
            self.left[row] -= self.needs(bundle, self.machines[row].type) * count
