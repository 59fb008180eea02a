"""From machines by the fraction to whole ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.heuristics import Packed, best_first_fit
from edgesdk.planner.items import UNLIMITED, Items, Pattern

__all__ = ["choose", "floored"]

Ints = NDArray[np.int64]


def covered(items: Items, patterns: Mapping[Pattern, int]) -> Ints:
    """How many of each kind *patterns* hold, shape (kinds,)."""
    total = np.zeros(items.kinds, np.int64)
    for (_, counts), times in patterns.items():
        for item, count in counts:
            total[item] += count * times
    return total


def used(items: Items, patterns: Mapping[Pattern, int]) -> Ints:
    """How many machines of each type, shape (types,)."""
    total = np.zeros(items.types, np.int64)
    for (kind, _), times in patterns.items():
        total[kind] += times
    return total


def floored(
    items: Items,
    amounts: Mapping[Pattern, float],
    *,
    limit: Ints | None = None,
    quick: bool = False,
) -> Packed:
    """The whole part of *amounts*, and first fit for what it leaves."""
    limit = items.limit if limit is None else limit
    whole = {p: int(a + 1e-6) for p, a in amounts.items() if a >= 1 - 1e-6}
    rest = np.maximum(0, items.demand - covered(items, whole))
    free = np.where(limit >= UNLIMITED, limit, np.maximum(0, limit - used(items, whole)))
    tail = best_first_fit(items, demand=rest, limit=free, quick=quick)
    patterns: Counter[Pattern] = Counter(whole)
    patterns.update(tail.patterns)
    return Packed(patterns, tail.left, items.cost(patterns), "columns, rounded")


def choose(
    items: Items,
    patterns: Sequence[Pattern],
    *,
    seconds: float,
    demand: Ints | None = None,
    limit: Ints | None = None,
    below: int | None = None,
    start: Mapping[Pattern, int] | None = None,
) -> tuple[Packed | None, float]:
    """The cheapest whole choice among *patterns* (HiGHS), and a bound that holds for them alone.

    *below* asks for what costs less than that only; *start* is a choice to begin from.
    """
    import highspy

    demand = items.demand if demand is None else demand
    limit = items.limit if limit is None else limit
    step = items.problem.price_step()
    highs = highspy.Highs()
    highs.silent()
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("time_limit", seconds)
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.setOptionValue("mip_abs_gap", 0.9)
    if below is not None:
        highs.setOptionValue("objective_bound", below / step - 0.5)
    empty = np.zeros(0, np.int32), np.zeros(0)
    for amount in demand:
        highs.addRow(float(amount), highspy.kHighsInf, 0, *empty)
    rows = {}
    for kind in np.flatnonzero(limit < UNLIMITED):
        rows[int(kind)] = items.kinds + len(rows)
        highs.addRow(-highspy.kHighsInf, float(limit[kind]), 0, *empty)
    for kind, counts in patterns:
        at = [item for item, _ in counts]
        amounts = [float(count) for _, count in counts]
        if kind in rows:
            at.append(rows[kind])
            amounts.append(1.0)
        highs.addCol(
            float(items.price[kind]) / step,
            0.0,
            highspy.kHighsInf,
            len(at),
            np.array(at, np.int32),
            np.array(amounts),
        )
    size = len(patterns)
    columns = np.arange(size, dtype=np.int32)
    highs.changeColsIntegrality(size, columns, np.ones(size, dtype=np.uint8))
    if start is not None:
        place = {p: i for i, p in enumerate(patterns)}
        chosen = [(place[p], n) for p, n in start.items() if p in place]
        highs.setSolution(
            len(chosen),
            np.array([i for i, _ in chosen], np.int32),
            np.array([float(n) for _, n in chosen]),
        )
    highs.run()
    bound = highs.getInfo().mip_dual_bound * step
    values = np.array(highs.getSolution().col_value)
    if len(values) != size or highs.getInfo().primal_solution_status != 2:
        return None, bound
    whole = {p: int(n) for p, n in zip(patterns, np.rint(values).astype(int), strict=True) if n > 0}
    left = np.maximum(0, demand - covered(items, whole))
    taken = used(items, whole)
    if left.any() or (taken > limit).any():
        return None, bound
    return Packed(whole, left, items.cost(whole), "columns, chosen"), bound
