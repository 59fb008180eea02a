"""First fit where machines are scarce: who found no place goes first the next time.

First fit gives room to whom it meets first, also where later ones may be nowhere else. Each trial
moves the kinds that were left over forward (squeaky wheel optimisation, Joslin and Clements 1999).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgesdk.planner.heuristics import ORDERS, RULES, Packed, first_fit
from edgesdk.planner.items import UNLIMITED, Items

__all__ = ["insist"]

_A_STEP = 0.3  # of the whole order, by which one who was left over moves forward


def insist(
    items: Items, start: Packed, expired: Callable[[], bool], *, trials: int, atleast: int
) -> Packed:
    """A packing that leaves over as little as *trials* first fits find, *start* at worst.

    It ends with the first that leaves nothing over, or when *expired*, after *atleast* trials.
    """
    best = start
    size = ORDERS["sum"](items)
    rank = np.argsort(np.argsort(size, kind="stable"), kind="stable") / max(1, items.kinds)
    places = (np.minimum(items.limit, items.demand.sum())[:, None] * items.most).sum(axis=0)
    confined = (items.limit[:, None] * (items.most > 0)).sum(axis=0) < UNLIMITED
    tight = np.where(confined, items.demand / np.maximum(1, places), 0.0)
    priority = rank + tight + confined
    priority[start.left > 0] += _A_STEP
    rules = list(RULES.values())
    for trial in range(trials):
        if trial >= atleast and expired():
            break
        found = first_fit(
            items,
            np.argsort(-priority, kind="stable").tolist(),
            rules[trial % len(rules)],
            method="FFD by insistence",
        )
        if found.left.sum() < best.left.sum():
            best = found
        if found.whole:
            return found
        priority[found.left > 0] += _A_STEP
    return best
