"""Packing a mix of machines that is nearly full: from too full by a little to not too full.

All items are put on machines at once, over capacity where it must be; then few items against few
are exchanged between two machines, always the exchange that leaves the least over capacity, and a
pair that has just exchanged rests for a while (a tabu search; for one resource the idea is that of
Alvim, Ribeiro, Glover and Aloise 2004).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.heuristics import Packed
from edgesdk.planner.items import Items, Pattern, as_pattern

__all__ = ["balance", "is_small", "settle"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CELLS = 60_000  # of one look at all exchanges of a machine: sets of its items x sets of others
_MOST_SETS = 48
_FEWEST_SETS = 6
_MOST_MACHINES = 2000
_RESTS = (2, 9)  # looks for which a pair rests
_SLACK = 0.01  # how much room in few places counts, beside what is over
_SMALL = 0.1
_PATIENCE, _PROGRESS = 25, 0.02  # looks without so much less over, until moves get cheaper
_FAR = 1e9


def balance(
    items: Items,
    mix: Ints,
    start: Packed,
    expired: Callable[[], bool],
    *,
    rng: np.random.Generator,
    rounds: int = 1000,
) -> Packed | None:
    """All items on *mix* machines of each type, beginning from *start*; None where not found.

    *start* has at most so many machines, and what it left over is put where it does least harm.
    None too where there are rules that this does not know (loads, apart, needs by device).
    """
    kinds = np.repeat(np.arange(items.types), mix)
    if len(kinds) > _MOST_MACHINES:
        return None
    counts = np.zeros((len(kinds), items.kinds), np.int64)
    free = [list(np.flatnonzero(kinds == kind)) for kind in range(items.types)]
    for (kind, held), times in start.patterns.items():
        for _ in range(times):
            row = free[kind].pop()
            for item, count in held:
                counts[row, item] = count
    settled = settle(items, kinds, counts, expired, rng=rng, rounds=rounds)
    if settled is None:
        return None
    patterns: Counter[Pattern] = Counter()
    for machine, there in zip(kinds, settled, strict=True):
        if there.any():
            patterns[as_pattern(int(machine), there)] += 1
    none = np.zeros_like(items.demand)
    return Packed(patterns, none, items.cost(patterns), "balanced")


def settle(
    items: Items,
    kinds: Ints,
    counts: Ints,
    expired: Callable[[], bool],
    *,
    rng: np.random.Generator,
    rounds: int = 1000,
    thrift: float = 0.0,
) -> Ints | None:
    """*counts* (machines, kinds of items) changed so that all are placed and none is over.

    *kinds* are the machines' types. *thrift* is what moving one item counts beside what is over, as
    a share of a machine. None where no such counts were found, or rules are not known here.
    """
    if not items.plain or not items.same_need or not 1 < len(kinds) <= _MOST_MACHINES:
        return None
    state = _State(items, kinds, counts, rng, thrift)
    if not state.placed:
        return None
    least, since = np.inf, 0
    for turn in range(rounds):
        if not state.over.any():
            return state.counts
        if expired():
            return None
        state.exchange(turn)
        if state.excess < least * (1 - _PROGRESS):
            least, since = state.excess, turn
        elif turn - since >= _PATIENCE:
            state.thrift /= 4  # or what little is over is handed round for ever
            since = turn
    return None if state.over.any() else state.counts


def is_small(items: Items, mix: Ints, left: Ints) -> bool:
    """Whether what is *left* over is small beside a machine of *mix*: exchanges may make room."""
    room = items.room[np.flatnonzero(mix)].min(axis=0)
    return bool((items.need[0][left > 0] <= _SMALL * room).all())


class _State:
    """Machines with what they hold and what room is left, which may be below none."""

    def __init__(
        self,
        items: Items,
        kinds: Ints,
        counts: Ints,
        rng: np.random.Generator,
        thrift: float,
    ) -> None:
        self._items, self._rng, self.thrift = items, rng, thrift
        size = len(kinds)
        self.counts: Ints = counts.copy()
        scale = np.maximum(1, items.room.max(axis=0)).astype(float)
        self._need = items.need[0] / scale
        self._allowed = items.most[kinds]
        self._room = items.room[kinds]
        surplus = self.counts.sum(axis=0) - items.demand
        for over in np.flatnonzero(surplus > 0):
            self._drop(int(over), int(surplus[over]))
        self._left = (self._room - self.counts @ items.need[0]) / scale
        self.placed = bool((self.counts <= self._allowed).all())
        for short in np.flatnonzero(surplus < 0):
            for _ in range(int(-surplus[short])):
                self.placed = self.placed and self._put(int(short))
        self._exact = self._room - self.counts @ items.need[0]
        self._scale = scale
        resources = len(scale)
        self._width = _width(size, resources)
        self._sets: list[list[tuple[int, ...]]] = [[] for _ in range(size)]
        self._moved = np.full((size, self._width, resources), _FAR)
        self._size = np.zeros((size, self._width), np.int8)
        self._until = np.zeros((size, size), np.int64)
        for row in range(size):
            self._list(row)

    @property
    def over(self) -> NDArray[np.bool_]:
        """Which machines hold too much, in whole units."""
        found: NDArray[np.bool_] = np.any(self._exact < 0, axis=1)
        return found

    @property
    def excess(self) -> float:
        """How much is over on all machines, as shares of the roomiest."""
        return -float(np.minimum(self._left, 0).sum())

    def exchange(self, turn: int) -> None:
        """One exchange between a machine that holds too much and another, where there is one."""
        rows = np.flatnonzero(self.over)
        row = int(self._rng.choice(rows))
        own = len(self._sets[row])
        given = self._moved[row, :own]
        resting = self._until[row] > turn
        resting[row] = True
        others = np.flatnonzero(~resting)
        if not len(others):
            return
        taken = self._moved[others]
        before = _harm(self._left[row]) + _harm(self._left[others])
        net = taken[None, :, :, :] - given[:, None, None, :]
        after = _harm(self._left[row] - net) + _harm(self._left[others][None, :, None, :] + net)
        after -= before[None, :, None]
        if self.thrift:
            size = self._size[others][None, :, :] + self._size[row, :own, None, None]
            after += self.thrift * size
        after[:, taken[:, :, 0] >= _FAR] = np.inf
        after[~net.any(axis=3)] = np.inf  # like for like, or nothing for nothing
        flat = after.ravel()
        for choice in self._best(flat):
            if not np.isfinite(flat[choice]):
                break
            mine, other, theirs = np.unravel_index(int(choice), after.shape)
            partner = int(others[other])
            out, back = self._sets[row][mine], self._sets[partner][theirs]
            if self._apply(row, partner, out, back):
                rest = turn + 1 + int(self._rng.integers(*_RESTS))
                self._until[row, partner] = self._until[partner, row] = rest
                return

    def _best(self, flat: Floats) -> Ints:
        few = min(16, len(flat) - 1)
        best = np.argpartition(flat, few)[: few + 1]
        order: Ints = best[np.argsort(flat[best])]
        return order

    def _apply(self, row: int, partner: int, out: tuple[int, ...], back: tuple[int, ...]) -> bool:
        change = np.zeros(self.counts.shape[1], np.int64)
        for item in out:
            change[item] += 1
        for item in back:
            change[item] -= 1
        own, other = self.counts[row] - change, self.counts[partner] + change
        if (own > self._allowed[row]).any() or (other > self._allowed[partner]).any():
            return False
        self.counts[row], self.counts[partner] = own, other
        for changed in (row, partner):
            need = self.counts[changed] @ self._items.need[0]
            self._exact[changed] = self._room[changed] - need
            self._left[changed] = self._exact[changed] / self._scale
            self._list(changed)
        return True

    def _list(self, row: int) -> None:
        """The sets of up to two items of *row* that may be exchanged, and what they need."""
        there = np.flatnonzero(self.counts[row])
        twice = [(int(i), int(i)) for i in there if self.counts[row, i] > 1]
        pairs = [*twice, *combinations((int(i) for i in there), 2)]
        found: list[tuple[int, ...]] = [(), *((int(i),) for i in there)]
        room = self._width - len(found)
        if room < 0:
            kept = self._rng.permutation(len(there))[: self._width - 1]
            found = [(), *((int(there[i]),) for i in kept)]
        elif len(pairs) > room:
            found += [pairs[i] for i in self._rng.permutation(len(pairs))[:room]]
        else:
            found += pairs
        self._sets[row] = found
        self._moved[row] = _FAR
        self._size[row, : len(found)] = [len(members) for members in found]
        for at, members in enumerate(found):
            self._moved[row, at] = self._need[list(members)].sum(axis=0) if members else 0.0

    def _drop(self, item: int, surplus: int) -> None:
        for row in np.flatnonzero(self.counts[:, item]):
            taken = min(surplus, int(self.counts[row, item]))
            self.counts[row, item] -= taken
            surplus -= taken
            if not surplus:
                return

    def _put(self, item: int) -> bool:
        after = _harm(self._left - self._need[item])
        harm = np.where(self.counts[:, item] < self._allowed[:, item], after, np.inf)
        row = int(np.argmin(harm - _harm(self._left)))
        if not np.isfinite(harm[row]):
            return False
        self.counts[row, item] += 1
        self._left[row] -= self._need[item]
        return True


def _width(size: int, resources: int) -> int:
    sets = int((_CELLS / (size * max(1, resources / 2))) ** 0.5)
    return max(_FEWEST_SETS, min(_MOST_SETS, sets))


def _harm(left: Floats) -> Floats:
    """What is over, summed; and room is better in few places than in many."""
    over = np.minimum(left, 0).sum(axis=-1)
    room = np.maximum(left, 0).sum(axis=-1)
    harm: Floats = -over - _SLACK * room * room
    return harm
