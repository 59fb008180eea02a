"""Packing a given mix of machines: each item to the machine whose room has its own proportions.

A vector heuristic in the manner of Panigrahy, Talwar, Uyeda and Wieder (2011), with a fixed set of
machines instead of one open bin: items in order of size, each to where the cosine between its needs
and what is left, both in units of what is scarce, is largest. What is left stays in proportion, so
that no resource runs out before the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.balancing import balance, is_small
from edgesdk.planner.bounds import Cut
from edgesdk.planner.heuristics import ORDERS, Packed
from edgesdk.planner.items import Items, Pattern, as_pattern
from edgesdk.planner.mix import best_mix

__all__ = ["align", "align_cheapest"]

Ints = NDArray[np.int64]

_MOST_STEPS = 12_000  # of one item each; beyond, columns are the better way
_MOST_CELLS = 30_000_000
_INFLATED = (0.0, 0.003, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3)


def align(
    items: Items, mix: Ints, expired: Callable[[], bool], order: str = "largest"
) -> Packed | None:
    """Items one by one into *mix* machines of each type, those that fit none left over.

    None where there are too many, or rules that this does not know (loads, apart), or time is up.
    """
    size = int(mix.sum())
    steps = int(items.demand.sum())
    if steps > _MOST_STEPS or not items.plain or size * items.kinds > _MOST_CELLS or not size:
        return None
    kinds = np.repeat(np.arange(items.types), mix)
    left = items.room[kinds].astype(np.int64)
    counts = np.zeros((size, items.kinds), np.int32)
    needs = np.stack([items.need[t] for t in range(items.types)]) if not items.same_need else None
    total = items.demand @ items.need[0]
    scale = 1.0 / np.maximum(1, np.maximum(total, mix @ items.room))
    over = np.zeros(items.kinds, np.int64)
    for item in np.argsort(-ORDERS[order](items), kind="stable"):
        if expired():
            return None
        most = items.most[kinds, item]
        need = items.need[0][item] if needs is None else needs[kinds, item]
        for placed in range(int(items.demand[item])):
            free = (left >= need).all(axis=1) & (counts[:, item] < most)
            rows = np.flatnonzero(free)
            if not len(rows):
                over[item] = items.demand[item] - placed
                break
            there = left[rows] * scale
            own = (need if needs is None else need[rows]) * scale
            length = np.sqrt((there * there).sum(axis=1)) + 1e-300
            row = rows[np.argmax((there * own).sum(axis=1) / length)]
            left[row] -= need if needs is None else need[row]
            counts[row, item] += 1
    patterns: Counter[Pattern] = Counter()
    for row in range(size):
        if counts[row].any():
            patterns[as_pattern(int(kinds[row]), counts[row])] += 1
    return Packed(patterns, over, items.cost(patterns), "aligned")


def align_cheapest(
    items: Items, cuts: list[Cut], expired: Callable[[], bool], rng: np.random.Generator
) -> Packed | None:
    """The cheapest mix under *cuts* into which all can be aligned, cuts inflated until it does.

    In the cheapest of all, exchanges make room for what little is left over.
    """
    for inflated in _INFLATED:
        tighter = [Cut(cut.holds, cut.value * (1 + inflated)) for cut in cuts]
        mix = best_mix(items, tighter, seconds=0.5)
        if mix is None or expired():
            return None
        for order in ("largest", "sum", "product"):
            packed = align(items, mix.machines, expired, order)
            if packed is None:
                return None
            if packed.whole:
                return packed
            if not inflated and is_small(items, mix.machines, packed.left):
                even = balance(items, mix.machines, packed, expired, rng=rng)
                if even is not None:
                    return even
    return None
