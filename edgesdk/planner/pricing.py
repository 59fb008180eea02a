"""The best pattern for given values of the kinds: a bounded knapsack in several resources.

Branch and bound over whole levels at once, in numpy. A *state* is a choice for the kinds looked at
so far; its bound is that of the Lagrangian relaxation, with the multipliers of the knapsack's
linear relaxation. States that cannot beat the floor are cut; should more than *width* be left, the
least promising are dropped and their bound remembered. So the answer is exact where nothing was
dropped, and comes with a valid upper bound always.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.highs import new_highs
from edgesdk.planner.items import UNLIMITED, Items

__all__ = ["Priced", "Pricer", "unlike"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FEWEST_KINDS = 80
_SAFE = 1e-9
"""Relative slack for what rounding in double precision may have lost in a bound."""


@dataclass(frozen=True)
class Priced:
    """*patterns* (n, kinds) beat the floor, best first; no pattern is worth more than *bound*."""

    patterns: Ints
    values: Floats
    bound: float


class Pricer:
    """Prices patterns of one type of machine; keeps its linear program warm. Not thread-safe."""

    def __init__(self, items: Items, kind: int) -> None:
        self._items = items
        self._kind = kind
        self._need = items.need[kind]
        self._room = items.room[kind]
        self._most = items.most[kind]
        self._there = self._most > 0
        self._group = _groups(items)
        self._relaxed = _Relaxed(items, kind)

    def price(self, values: Floats, floor: float, width: int, *, wanted: int = 4) -> Priced:
        """Patterns worth more than *floor*, at most *wanted*, keeping *width* states a level."""
        none = np.zeros((0, len(values)), np.int64)
        active = np.flatnonzero(self._there & (values > 0))
        if not len(active):
            return Priced(none, np.zeros(0), 0.0)
        multipliers = self._relaxed.solve(values)
        bound = self._bound_by(multipliers, values, active)
        if bound <= floor:
            return Priced(none, np.zeros(0), bound)
        reduced = values[active] - self._need[active] @ multipliers
        keep = bound + reduced > floor
        active, reduced = active[keep], reduced[keep]
        most = max(_FEWEST_KINDS, width // 5)
        left_out = len(active) > most
        if left_out:  # a narrow search looks at the most promising kinds only
            promising = np.argpartition(-reduced, most)[:most]
            active, reduced = active[promising], reduced[promising]
        order = self._order(active, reduced, bound)
        search = _Levels(self, active[order], reduced[order], multipliers, values, floor, width)
        found = search.run(bound, wanted)
        return replace(found, bound=bound) if left_out else found

    def _order(self, active: Ints, reduced: Floats, bound: float) -> Ints:
        """Clear cases first; then the large before the small, which fill what is left."""
        weight = np.abs(reduced) * self._most[active]
        clear = weight > 0.02 * bound
        share = (self._need[active] / np.maximum(self._room, 1)).max(axis=1)
        return np.lexsort((np.where(clear, -weight, -share), ~clear, self._group[active]))

    def _bound_by(self, multipliers: Floats, values: Floats, active: Ints) -> float:
        """The Lagrangian bound, which holds for any multipliers that are not negative."""
        gain = self._most[active] * np.maximum(0, values[active] - self._need[active] @ multipliers)
        total = float(self._room @ multipliers)
        groups = self._group[active]
        for group in np.unique(groups):
            inside = float(gain[groups == group].sum())
            if group >= 0:
                inside = max(0.0, inside - float(self._items.loads[group] @ multipliers))
            total += inside
        return total + abs(total) * _SAFE


def unlike(patterns: Ints, wanted: int) -> list[int]:
    """The first *wanted* patterns that share at most half of their kinds with those before."""
    taken = np.zeros(patterns.shape[1], bool)
    chosen: list[int] = []
    for index, there in enumerate(patterns > 0):
        if not chosen or (there & taken).sum() * 2 <= there.sum():
            chosen.append(index)
            taken |= there
        if len(chosen) == wanted:
            break
    return chosen


class _Relaxed:
    """The knapsack's linear relaxation, solved again for other values from its last basis."""

    def __init__(self, items: Items, kind: int) -> None:
        import highspy

        self._highs = new_highs(presolve="off")
        need, room, most = items.need[kind], items.room[kind], items.most[kind]
        scale = np.maximum(room, 1).astype(np.float64)
        self._scale = scale
        columns, resources = need.shape
        groups = items.loads.shape[0]
        lp: Any = highspy.HighsLp()
        lp.num_col_ = columns + groups
        pairs = np.argwhere(items.uses) if groups else np.zeros((0, 2), int)
        lp.num_row_ = resources + len(pairs)
        lp.col_cost_ = np.zeros(lp.num_col_)
        lp.col_lower_ = np.zeros(lp.num_col_)
        lp.col_upper_ = np.concatenate([most.astype(float), np.ones(groups)])
        lp.row_lower_ = np.full(lp.num_row_, -np.inf)
        lp.row_upper_ = np.concatenate([room / scale, np.zeros(len(pairs))])
        matrix = np.zeros((lp.num_row_, lp.num_col_))
        matrix[:resources, :columns] = (need / scale).T
        if groups:
            matrix[:resources, columns:] = (items.loads / scale).T
        for row, (item, group) in enumerate(pairs):
            matrix[resources + row, item] = 1
            matrix[resources + row, columns + group] = -max(1, int(most[item]))
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        rows, at = np.nonzero(matrix)
        lp.a_matrix_.start_ = np.searchsorted(rows, np.arange(lp.num_row_ + 1))
        lp.a_matrix_.index_ = at
        lp.a_matrix_.value_ = matrix[rows, at]
        lp.sense_ = highspy.ObjSense.kMaximize
        self._highs.passModel(lp)
        self._columns = np.arange(columns, dtype=np.int32)
        self._resources = resources

    def solve(self, values: Floats) -> Floats:
        """Multipliers of the resources, a unit each, never negative."""
        self._highs.changeColsCost(len(self._columns), self._columns, values)
        self._highs.run()
        duals = np.array(self._highs.getSolution().row_dual[: self._resources])
        if len(duals) != self._resources:
            return np.zeros(self._resources)
        multipliers: Floats = np.maximum(0.0, duals) / self._scale
        return multipliers


def _groups(items: Items) -> Ints:
    """The one shared load that counts in a kind's bound, -1 for none."""
    if not items.uses.size:
        return np.full(items.kinds, -1, np.int64)
    return np.where(items.uses.any(axis=1), items.uses.argmax(axis=1), -1).astype(np.int64)


class _Levels:
    """One search: kinds in order, all states of a level at once."""

    def __init__(
        self,
        pricer: Pricer,
        order: Ints,
        reduced: Floats,
        multipliers: Floats,
        values: Floats,
        floor: float,
        width: int,
    ) -> None:
        items = pricer._items
        self._items, self._order, self._reduced = items, order, reduced
        self._values, self._width, self._floor = values, width, floor
        self._need, self._most = pricer._need, pricer._most
        self._multipliers = multipliers
        self._dropped = 0.0
        self._rng = np.random.default_rng(len(order))
        self._left = pricer._room[None, :].copy()
        self._worth = np.zeros(1)
        # Kinds with rules of their own need to know of others what a state holds.
        watched = items.apart.any(axis=1)
        self._watched = np.flatnonzero(watched)
        self._holds = np.zeros((1, len(self._watched)), bool)
        self._loaded = np.zeros((1, items.loads.shape[0]), bool)
        self._chosen: list[tuple[Ints, Ints]] = []  # (parent, count) of each level
        self._tail, self._tail_inside = self._tails(pricer._group[order])
        self._group = pricer._group[order]

    def _tails(self, groups: Ints) -> tuple[Floats, Floats]:
        """What the kinds from each level on can add at most: of later groups, and of its own."""
        gain = self._most[self._order] * np.maximum(0, self._reduced)
        size = len(self._order)
        later, inside = np.zeros(size + 1), np.zeros(size + 1)
        for level in range(size - 1, -1, -1):
            group = groups[level]
            if level + 1 < size and groups[level + 1] == group and group >= 0:
                later[level] = later[level + 1]
                inside[level] = inside[level + 1] + gain[level]
            elif group >= 0:
                later[level] = later[level + 1] + self._closed(groups, level + 1, inside)
                inside[level] = gain[level]
            else:
                later[level] = later[level + 1] + self._closed(groups, level + 1, inside)
                later[level] += gain[level]
        return later, inside

    def _closed(self, groups: Ints, level: int, inside: Floats) -> float:
        """What a group that begins at *level* can add, its load paid."""
        if level >= len(groups) or groups[level] < 0:
            return 0.0
        return max(
            0.0, float(inside[level]) - float(self._items.loads[groups[level]] @ self._multipliers)
        )

    def run(self, bound: float, wanted: int) -> Priced:
        for level in range(len(self._order)):
            self._step(level)
            if not len(self._worth):
                break
        size = len(self._values)
        beyond = np.flatnonzero(self._worth > self._floor)
        if len(self._chosen) < len(self._order) or not len(beyond):
            empty = np.zeros((0, size), np.int64)
            return Priced(empty, np.zeros(0), min(bound, max(self._floor, self._dropped)))
        best = beyond[np.argsort(-self._worth[beyond], kind="stable")][: wanted * 8]
        top = float(self._worth[best[0]]) * (1 + _SAFE)
        patterns = self._traced(best)
        chosen = unlike(patterns, wanted)
        found = self._worth[best[chosen]]
        return Priced(patterns[chosen], found, min(bound, max(self._floor, self._dropped, top)))

    def _step(self, level: int) -> None:
        item, reduced = int(self._order[level]), float(self._reduced[level])
        need = self._need[item]
        base = self._worth + self._left @ self._multipliers + self._rest(level)
        most, first = self._room_for(item, need)
        slack = (base - self._floor) * (1 - _SAFE) + np.abs(base) * _SAFE
        low, high = self._range(slack, reduced, most, first, item)
        keep = high >= low
        if not keep.all():
            low, high = low[keep], high[keep]
        states = np.flatnonzero(keep)
        if level == len(self._order) - 1:
            low = high  # values are positive: as many of the last kind as there is room for
        width = self._width * (32 if level >= len(self._order) - 2 else 1)
        spread = max(8, width // 4)  # counts of one kind that are tried from one state
        each = np.minimum(high - low + 1, spread)
        cut = high - low + 1 > spread
        if cut.any():  # the counts nearest to the better end stay
            next_best = high[cut] - spread if reduced >= 0 else low[cut] + spread
            skipped = base[states[cut]] + next_best * reduced
            self._dropped = max(self._dropped, float(skipped.max()) * (1 + _SAFE))
            low = np.where(cut & (reduced >= 0), high - spread + 1, low)
        parent = np.repeat(states, each)
        offset = np.arange(len(parent)) - np.repeat(np.cumsum(each) - each, each)
        count = np.repeat(low, each) + offset
        paid = first[parent] if first.ndim else first
        bound = base[parent] + count * reduced - np.where(count > 0, paid, 0.0)
        if len(parent) > width:
            score = (bound - self._floor) * self._rng.random(len(bound))
            chosen = np.argpartition(-score, width)
            lost = float(bound[chosen[width:]].max())
            self._dropped = max(self._dropped, lost * (1 + _SAFE))
            chosen = chosen[:width]
            parent, count = parent[chosen], count[chosen]
        self._take(item, need, parent, count)

    def _rest(self, level: int) -> Floats:
        """The tail's bound for each state, kinds before *level* being decided, itself left out."""
        after = level + 1
        rest = np.full(len(self._worth), self._tail[after] if after < len(self._tail) else 0.0)
        if after < len(self._order) and self._group[after] >= 0:
            group = self._group[after]
            load = float(self._items.loads[group] @ self._multipliers)
            inside = self._tail_inside[after]
            open_ = self._loaded[:, group]
            rest += np.where(open_, inside, max(0.0, inside - load))
            if self._group[level] == group:
                # This level may load the group: then what follows comes without its load.
                rest[~open_] = rest[~open_] - max(0.0, inside - load) + inside
        return rest

    def _room_for(self, item: int, need: Ints) -> tuple[Ints, Floats]:
        """How many of *item* each state takes, and the price of the load it would bring."""
        left = self._left
        paid: Floats = np.zeros(len(self._worth))
        if self._loaded.shape[1] and self._items.uses[item].any():
            new = self._items.uses[item] & ~self._loaded
            extra = new @ self._items.loads
            left = left - extra
            paid = extra @ self._multipliers
        positive = need > 0
        if positive.any():
            most = (left[:, positive] // need[positive]).min(axis=1)
        else:
            most = np.full(len(left), UNLIMITED)
        most = np.minimum(most, self._most[item])
        most[(left < 0).any(axis=1)] = 0
        if len(self._watched) and self._items.apart[item].any():
            against = self._items.apart[item][self._watched]
            most[self._holds[:, against].any(axis=1)] = 0
        return np.maximum(most, 0), paid

    def _range(
        self, slack: Floats, reduced: float, most: Ints, paid: Floats, item: int
    ) -> tuple[Ints, Ints]:
        """The counts whose bound beats the floor, from and to; zero may be among them."""
        low = np.zeros(len(most), np.int64)
        if reduced > 0:
            needed = np.ceil(-slack / reduced)
            low = np.clip(needed, 0, UNLIMITED).astype(np.int64)
            return low, most
        if reduced < 0:
            allowed = np.floor(slack / -reduced)
            high = np.clip(allowed, -1, UNLIMITED).astype(np.int64)
            return low, np.minimum(most, high)
        return low, np.where(slack >= 0, most, -1)

    def _take(self, item: int, need: Ints, parent: Ints, count: Ints) -> None:
        self._left = self._left[parent] - count[:, None] * need
        self._worth = self._worth[parent] + count * self._values[item]
        there = count > 0
        if self._loaded.shape[1]:
            loaded = self._loaded[parent]
            if self._items.uses[item].any():
                new = (self._items.uses[item] & ~loaded) & there[:, None]
                self._left = self._left - new @ self._items.loads
                loaded = loaded | new
            self._loaded = loaded
        if len(self._watched):
            self._holds = self._holds[parent]
            self._holds[:, self._watched == item] |= there[:, None]
        self._chosen.append((parent, count))

    def _traced(self, states: Ints) -> Ints:
        patterns = np.zeros((len(states), len(self._values)), np.int64)
        at = states
        for level in range(len(self._chosen) - 1, -1, -1):
            parent, count = self._chosen[level]
            patterns[:, self._order[level]] = count[at]
            at = parent[at]
        return patterns
