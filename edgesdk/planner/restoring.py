"""Streams back where they ran before, as far as another plan has room: the same at less moving.

A plan made afresh, or by exchanges, moves more than it must. A stream goes back to its machine if
it fits there, alone or for one or two others that have come to it; machines and cost stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.plan import Machine
from edgesdk.planner.problem import Problem

__all__ = ["restored"]

Ints = NDArray[np.int64]

_MOST_SETS = 150  # of newcomers that may make room for one stream


def restored(
    problem: Problem,
    before: Sequence[Machine],
    after: Sequence[Machine],
    expired: Callable[[], bool],
) -> list[Machine]:
    """*after* with streams put back to where they are in *before*, by id, as far as that goes.

    As it was where there are rules that this does not know: loads, apart, together, at_most, needs
    by device.
    """
    ruled = problem.loads or problem.apart or problem.together
    if ruled or any(c.at_most is not None or c.needs_on for c in problem.classes):
        return list(after)
    state = _State(problem, before, after)
    gained = True
    while gained and not expired():
        gained = False
        for row, item in np.argwhere(state.was > state.now):
            while state.was[row, item] > state.now[row, item] and state.back(int(row), int(item)):
                gained = True
            if expired():
                break
    return state.machines()


class _State:
    """Counts of classes by machine, shape (machines, classes), and what room is left."""

    def __init__(
        self, problem: Problem, before: Sequence[Machine], after: Sequence[Machine]
    ) -> None:
        self._names = [c.name for c in problem.classes]
        place = {name: column for column, name in enumerate(self._names)}
        homes = {m.id: m for m in before}
        self._after = after
        self.was, self.now = np.zeros((2, len(after), len(place)), np.int64)
        for row, machine in enumerate(after):
            for name, count in machine.streams.items():
                self.now[row, place[name]] = count
            home = homes.get(machine.id)
            for name, count in home.streams.items() if home is not None else ():
                if name in place:
                    self.was[row, place[name]] = count
        width = len(problem.resources)
        self._need = np.array([c.needs for c in problem.classes], np.int64).reshape(-1, width)
        types = {m.name: m for m in problem.machines}
        rooms = np.array([problem.room(types[m.type]) for m in after], np.int64)
        self._left = rooms.reshape(-1, width) - self.now @ self._need
        allowed = {
            name: [c.machines is None or name in c.machines for c in problem.classes]
            for name in types
        }
        self._allowed = np.array([allowed[m.type] for m in after], bool)

    def back(self, row: int, item: int) -> bool:
        """One stream of *item* back on machine *row*, if any way is found."""
        need = self._need[item]
        short = need - self._left[row]
        guests = np.flatnonzero(self.now[row] > self.was[row])
        for other in np.flatnonzero(self.now[:, item] > self.was[:, item]):
            if (short <= 0).all():
                self._exchange(row, int(other), item, ())
                return True
            room = self._left[other] + need
            open_to = guests[self._allowed[other, guests]]
            # Guests that have their home on the other machine go first.
            homeward = self.was[other, open_to] > self.now[other, open_to]
            for given in _sets(open_to[np.argsort(~homeward, kind="stable")]):
                total = self._need[list(given)].sum(axis=0)
                if (total >= short).all() and (total <= room).all():
                    self._exchange(row, int(other), item, given)
                    return True
        return False

    def _exchange(self, row: int, other: int, item: int, given: Sequence[int]) -> None:
        for machine, sign in ((row, 1), (other, -1)):
            self.now[machine, item] += sign
            self._left[machine] -= sign * self._need[item]
            for guest in given:
                self.now[machine, guest] -= sign
                self._left[machine] += sign * self._need[guest]

    def machines(self) -> list[Machine]:
        found = []
        for row, machine in enumerate(self._after):
            there = np.flatnonzero(self.now[row])
            streams = {self._names[item]: int(self.now[row, item]) for item in there}
            if streams:
                found.append(Machine(machine.id, machine.type, streams))
        return found


def _sets(guests: Ints) -> list[tuple[int, ...]]:
    """One or two of *guests*; they were away from home before, so none moves that had not."""
    few = [int(guest) for guest in guests]
    single: list[tuple[int, ...]] = [(guest,) for guest in few]
    return (single + list(combinations(few[:16], 2)))[:_MOST_SETS]
