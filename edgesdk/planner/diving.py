"""Diving: from the linear program straight down to whole machines.

Patterns that are nearly whole are fixed, the rest of the streams is solved again with new columns
made for it, until nothing is left. A dive gives one plan; its columns serve later choices too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from edgesdk.planner.columns import Columns
from edgesdk.planner.heuristics import Packed, best_first_fit
from edgesdk.planner.items import UNLIMITED, Items, Pattern, as_pattern
from edgesdk.planner.rounding import used

__all__ = ["dive"]

_SURE = 0.85  # amounts from here on are fixed at once
_ROUNDS = 6  # of pricing after each fixing
_A_STEP = 0.04  # of the machines are fixed at least, so that a dive ends


def dive(
    items: Items, columns: Columns, expired: Callable[[], bool], *, below: int
) -> Packed | None:
    """A plan cheaper than *below*, or None. Leaves *columns* as it was, with more patterns."""
    rest = items.demand.copy()
    fixed: Counter[Pattern] = Counter()
    try:
        while rest.any():
            limit = np.where(
                items.limit >= UNLIMITED, items.limit, items.limit - used(items, fixed)
            )
            columns.require(rest, limit)
            columns.generate(expired, rounds=_ROUNDS, enough=1e-3)
            amounts = columns.amounts_of()
            done = items.cost(fixed)
            if expired() or columns.lacking > 1e-6 or done + columns.cost >= below - 1e-3:
                break
            _fix(items, amounts, rest, fixed)
    finally:
        columns.require(items.demand, items.limit)
    if rest.any():
        tail = best_first_fit(
            items,
            demand=rest,
            limit=np.where(items.limit >= UNLIMITED, items.limit, items.limit - used(items, fixed)),
            quick=True,
        )
        if not tail.whole:
            return None
        fixed.update(tail.patterns)
    packed = Packed(fixed, np.zeros_like(items.demand), items.cost(fixed), "dived")
    return packed if packed.microusd < below else None


def _fix(
    items: Items,
    amounts: Mapping[Pattern, float],
    rest: np.ndarray[tuple[int], np.dtype[np.int64]],
    fixed: Counter[Pattern],
) -> None:
    """Move the surest of *amounts* from *rest* to *fixed*, each as far as *rest* still wants it."""
    order = sorted(amounts, key=lambda pattern: -amounts[pattern])
    least = max(1.0, _A_STEP * sum(amounts.values()))
    taken = 0
    for pattern in order:
        amount = amounts[pattern]
        if amount < _SURE and taken >= least:
            break
        counts = items.dense(pattern)
        for _ in range(max(1, int(amount + 1 - _SURE))):
            wanted = np.minimum(counts, rest)
            if wanted.sum() < counts.sum() and taken:
                break  # it overlaps what was fixed before: let the next solution decide
            if not wanted.any():
                break
            fixed[as_pattern(pattern[0], wanted)] += 1
            rest -= wanted
            taken += 1
