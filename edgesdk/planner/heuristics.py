"""First-fit heuristics: a valid plan at once, whatever the problem's size.

Equal items are placed together: first fit of n equal items fills the first machines it meets as far
as they go, so equal machines stay together as one *stack*, and a million streams of fifty classes
cost no more than fifty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.items import UNLIMITED, Items, Pattern, as_pattern

__all__ = ["ORDERS", "RULES", "Packed", "best_first_fit", "first_fit"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Packed:
    """Patterns with how many machines of each, and what found no place (per kind of item)."""

    patterns: Mapping[Pattern, int]
    left: Ints
    microusd: int
    method: str

    @property
    def whole(self) -> bool:
        return not self.left.any()


def sizes(items: Items) -> Floats:
    """Each kind's needs as shares of the roomiest machine's, shape (kinds, resources)."""
    largest = np.maximum(items.room.max(axis=0), 1)
    shares: Floats = items.need[0] / largest
    return shares


def _deviation(items: Items) -> Floats:
    share = sizes(items)
    found: Floats = share.max(axis=1) - share.min(axis=1)
    return found


def _evenness(items: Items) -> Floats:
    """Descending, so that items whose needs are in the machine's own proportion come first."""
    share = np.maximum(sizes(items), 1e-9)
    found: Floats = -np.log(share.max(axis=1) / share.min(axis=1))
    return found


ORDERS: dict[str, Callable[[Items], Floats]] = {
    "largest": lambda items: sizes(items).max(axis=1),
    "sum": lambda items: sizes(items).sum(axis=1),
    "product": lambda items: sizes(items).prod(axis=1),
    "first": lambda items: sizes(items)[:, 0],
    "last": lambda items: sizes(items)[:, -1],
    "deviation": _deviation,
    "ordered deviation": _evenness,
}
"""By what kinds are sorted, descending, before first fit.

The last two are variants of the first fit by ordered deviation of Han, Diehr and Cook (1994), whose
rule is not public in full: by the difference of the largest and the smallest share of a machine,
large ones first; and by their ratio, even ones first. The second reproduces the paper's tables.
"""


def _cheapest(items: Items, candidates: Ints, item: int, waiting: Ints) -> int:
    return int(candidates[np.argmin(items.price[candidates])])


def _cheapest_each(items: Items, candidates: Ints, item: int, waiting: Ints) -> int:
    """The least price for each of this kind of item that it holds."""
    per_item = items.price[candidates] / items.most[candidates, item]
    return int(candidates[np.argmin(per_item)])


def _cheapest_rest(items: Items, candidates: Ints, item: int, waiting: Ints) -> int:
    """The least price for all that waits, were it to be held by machines of one type."""
    costs = []
    for kind in candidates:
        total = waiting @ items.need[kind]
        share = (total / np.maximum(items.room[kind], 1)).max()
        costs.append(items.price[kind] * share)
    return int(candidates[int(np.argmin(costs))])


Rule = Callable[[Items, Ints, int, Ints], int]
RULES: dict[str, Rule] = {
    "cheapest": _cheapest,
    "per item": _cheapest_each,
    "per rest": _cheapest_rest,
}
"""Which type of machine is opened when an item fits no open one."""


class _Stacks:
    """Open machines: row i stands for *times[i]* equal ones. Grows by doubling."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self.size = 0
        self.kind = np.zeros(64, np.int64)
        self.times = np.zeros(64, np.int64)
        self.left = np.zeros((64, items.room.shape[1]), np.int64)
        self.counts = np.zeros((64, items.kinds), np.int64 if items.kinds < 256 else np.int32)
        self.loaded = np.zeros((64, items.loads.shape[0]), bool)

    def append(self, kind: int, times: int, like: int | None = None) -> int:
        """A new row, empty or a copy of row *like*; returns its index."""
        if self.size == len(self.kind):
            for name in ("kind", "times", "left", "counts", "loaded"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        row = self.size
        self.size += 1
        self.kind[row], self.times[row] = kind, times
        if like is None:
            self.left[row] = self._items.room[kind]
        else:
            self.left[row] = self.left[like]
            self.counts[row] = self.counts[like]
            self.loaded[row] = self.loaded[like]
        return row

    def fitting(self, item: int, start: int = 0) -> Ints:
        """How many of *item* each row from *start* still takes."""
        items, end = self._items, self.size
        kinds = self.kind[start:end]
        left = self.left[start:end]
        if items.uses.size and items.uses[item].any():
            left = left - (items.uses[item] & ~self.loaded[start:end]) @ items.loads
        if items.same_need:
            needs = items.need[0][item]
            there = np.flatnonzero((left >= needs).all(axis=1))
            needs = needs[None, :]
        else:
            needs = np.array([items.need[k][item] for k in kinds]).reshape(len(kinds), -1)
            there = np.flatnonzero((left >= needs).all(axis=1))
            needs = needs[there]
        fit = np.zeros(len(kinds), np.int64)
        if not len(there):
            return fit
        shares = np.where(needs > 0, left[there] // np.maximum(needs, 1), UNLIMITED)
        fit[there] = shares.min(axis=1, initial=int(UNLIMITED))
        fit = np.minimum(fit, items.most[kinds, item] - self.counts[start:end, item])
        if items.apart[item].any():
            blocked = (self.counts[start:end][:, items.apart[item]] > 0).any(axis=1)
            fit[blocked] = 0
        found: Ints = np.maximum(fit, 0).astype(np.int64)
        return found

    def put(self, row: int, item: int, each: int) -> None:
        items = self._items
        self.counts[row, item] += each
        self.left[row] -= items.need[self.kind[row]][item] * each
        if items.uses.size:
            new = items.uses[item] & ~self.loaded[row]
            self.left[row] -= new @ items.loads
            self.loaded[row] |= items.uses[item]

    def fill(self, row: int, item: int, each: int, waiting: int) -> int:
        """Put up to *each* of *item* on each machine of the row; returns what still waits."""
        full, rest = divmod(waiting, each)
        times = int(self.times[row])
        if full >= times:
            self.put(row, item, each)
            return waiting - each * times
        self.times[row] = full
        if rest:
            self.put(self.append(int(self.kind[row]), 1, like=row), item, rest)
        if times - full - (rest > 0):
            self.append(int(self.kind[row]), times - full - (rest > 0), like=row)
        if full:
            self.put(row, item, each)
        return 0


def first_fit(
    items: Items,
    order: Sequence[int],
    rule: Rule,
    *,
    types: Sequence[int] | None = None,
    demand: Ints | None = None,
    limit: Ints | None = None,
    below: int | None = None,
    method: str = "first fit",
) -> Packed:
    """First fit of *demand* (default: all) in *order*, opening types by *rule*.

    Machines at no cost are opened first. *types* restricts the types, *limit* how many there are.
    It is given up, with streams left over, as soon as it costs *below* or more.
    """
    waiting = (items.demand if demand is None else demand).copy()
    free = (items.limit if limit is None else limit).copy()
    usable = np.zeros(items.types, bool)
    usable[list(range(items.types)) if types is None else list(types)] = True
    stacks = _Stacks(items)
    cost = 0
    for item in order:
        need = int(waiting[item])
        if not need:
            continue
        if below is not None and cost >= below:
            break
        if stacks.size:
            fit = stacks.fitting(item)
            for row in np.flatnonzero(fit):
                need = stacks.fill(int(row), item, int(fit[row]), need)
                if not need:
                    break
        while need:
            candidates = np.flatnonzero(usable & (free > 0) & (items.most[:, item] > 0))
            if not len(candidates):
                break
            existing = candidates[items.price[candidates] == 0]
            waiting[item] = need
            kind = rule(items, existing if len(existing) else candidates, item, waiting)
            each = min(int(items.most[kind, item]), need)
            times = max(1, min(int(free[kind]), need // each))
            free[kind] -= times
            cost += int(items.price[kind]) * times
            stacks.put(stacks.append(kind, times), item, each)
            need -= each * times
        waiting[item] = need
    patterns: Counter[Pattern] = Counter()
    for stack in range(stacks.size):
        if stacks.times[stack]:
            pattern = as_pattern(int(stacks.kind[stack]), stacks.counts[stack])
            patterns[pattern] += int(stacks.times[stack])
    return Packed(patterns, waiting, items.cost(patterns), method)


def best_first_fit(
    items: Items, *, demand: Ints | None = None, limit: Ints | None = None, quick: bool = False
) -> Packed:
    """The cheapest of first fit in every order and by every rule, and on one type alone.

    What leaves nothing over wins over what does; the method says which it was. *quick* tries few.
    """
    best: Packed | None = None
    orders = {name: np.argsort(-key(items), kind="stable") for name, key in ORDERS.items()}
    if quick:
        orders = {"largest": orders["largest"]}
    for order_name, order in orders.items():
        trials: list[tuple[str, Rule, list[int] | None]] = [(n, r, None) for n, r in RULES.items()]
        if order_name in ("largest", "sum") and items.types <= 32 and not quick:
            able = np.flatnonzero((items.most[:, items.demand > 0] > 0).all(axis=1))
            trials += [(items.problem.machines[t].name, _cheapest, [int(t)]) for t in able]
        for name, rule, types in trials:
            found = first_fit(
                items,
                order.tolist(),
                rule,
                types=types,
                demand=demand,
                limit=limit,
                below=best.microusd if best is not None and best.whole else None,
                method=f"FFD by {order_name}, {name}",
            )
            if best is None or _rank(items, found) < _rank(items, best):
                best = found
    assert best is not None
    return best


def _rank(items: Items, packed: Packed) -> tuple[int, int]:
    return int(packed.left.sum()), packed.microusd
