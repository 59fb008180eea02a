"""Packing by a split between types: each type's machines get the streams that suit them.

Where the split is good, every type's streams together have the proportions of its machines, and
then each type by itself is a problem of one kind of machine, which alignment fills well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.aligning import align
from edgesdk.planner.apportioning import Apportioned, apportion_whole
from edgesdk.planner.balancing import balance
from edgesdk.planner.heuristics import ORDERS, RULES, Packed, best_first_fit, first_fit
from edgesdk.planner.items import UNLIMITED, Items, Pattern

__all__ = ["pack_apportioned"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SPARE = (0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12)
_SPLIT_SECONDS = 1.0
_EXCHANGED = 0.02  # of the streams: beyond so many left over exchanges find no room for all
_ROUNDS = 400  # of exchanges: what takes more succeeds sooner with more room
_MANY = 64  # equal streams: split in proportion at once


def pack_apportioned(
    items: Items,
    found: Apportioned,
    expired: Callable[[], bool],
    *,
    below: int | None = None,
    rng: np.random.Generator,
) -> Packed | None:
    """All streams, each type's as a split between whole machines says; the cheapest of some.

    The splits leave more and more spare room, until all streams find a place in it; before that
    exchanges make room for few, and first fit opens machines for many. Where there are rules that
    alignment does not know (loads, apart), first fit fills each type. None where there are too many
    streams for it, one type alone, or nothing cheaper than *below*.
    """
    if np.count_nonzero(found.machines) < 2:
        return None
    if not items.plain:
        return _by_first_fit(items, found, expired)
    best: Packed | None = None
    for spare in _SPARE:
        split = apportion_whole(items, found, spare=spare, seconds=_SPLIT_SECONDS)
        if split is None or expired():
            break
        mix = split.machines.astype(np.int64)
        cost = int(mix @ items.price)
        if below is not None and cost >= below:
            break
        packed = _aligned(items, split, mix, expired)
        if packed is None:
            break
        if not packed.whole and packed.left.sum() <= _EXCHANGED * items.demand.sum():
            packed = balance(items, mix, packed, expired, rng=rng, rounds=_ROUNDS) or packed
        done = packed.whole
        packed = packed if done else _completed(items, packed)
        if packed.whole and (below is None or packed.microusd < below):
            best, below = packed, packed.microusd
        if done:
            break
    return best and Packed(best.patterns, best.left, best.microusd, "apportioned")


def _by_first_fit(items: Items, found: Apportioned, expired: Callable[[], bool]) -> Packed | None:
    """Each type's streams on machines of that type, in the order that costs least there."""
    patterns: Counter[Pattern] = Counter()
    left = np.zeros_like(items.demand)
    for kind, demand in enumerate(_allotted(items, found)):
        best: Packed | None = None
        for order in ORDERS.values() if demand.any() else ():
            ranked = np.argsort(-order(items), kind="stable").tolist()
            packed = first_fit(items, ranked, RULES["cheapest"], types=[kind], demand=demand)
            if best is None or (_over(packed), packed.microusd) < (_over(best), best.microusd):
                best = packed
            if expired():
                return None
        if best is not None:
            patterns.update(best.patterns)
            left += best.left
    filled = _completed(items, Packed(patterns, left, items.cost(patterns), "apportioned"))
    return Packed(filled.patterns, filled.left, filled.microusd, "apportioned, first fit")


def _aligned(
    items: Items, split: Apportioned, mix: Ints, expired: Callable[[], bool]
) -> Packed | None:
    """Each type's streams on its machines of *mix*, and what fits none of them left over."""
    patterns: Counter[Pattern] = Counter()
    left = np.zeros_like(items.demand)
    for kind, demand in enumerate(_allotted(items, split)):
        if not demand.any():
            continue
        if not mix[kind]:
            left += demand
            continue
        alone = np.zeros_like(mix)
        alone[kind] = mix[kind]
        own = replace(items, demand=demand)
        trials = [align(own, alone, expired, order) for order in ("largest", "sum")]
        packed = min((t for t in trials if t is not None), key=_over, default=None)
        if packed is None:
            return None
        patterns.update(packed.patterns)
        left += packed.left
    return Packed(patterns, left, items.cost(patterns), "apportioned")


def _over(packed: Packed) -> int:
    return int(packed.left.sum())


def _completed(items: Items, packed: Packed) -> Packed:
    """*packed*, and by first fit what it left over."""
    there = np.zeros(items.types, np.int64)
    for (kind, _), times in packed.patterns.items():
        there[kind] += times
    free = np.where(items.limit >= UNLIMITED, items.limit, np.maximum(0, items.limit - there))
    rest = best_first_fit(items, demand=packed.left, limit=free, quick=True)
    patterns = Counter(packed.patterns)
    patterns.update(rest.patterns)
    return Packed(patterns, rest.left, items.cost(patterns), packed.method)


def _allotted(items: Items, split: Apportioned) -> Ints:
    """How many of each kind go to each type, shape (types, kinds): by its group's shares, and so
    that within a group large and small ones are spread alike."""
    allotted = np.zeros((items.types, items.kinds), np.int64)
    size = items.need[0] @ (1.0 / np.maximum(1, items.demand @ items.need[0])) + 1e-12
    given = np.zeros_like(split.shares)
    for item in np.argsort(-size, kind="stable"):
        group, demand = split.group[item], int(items.demand[item])
        share = split.shares[group]
        at_once = max(1, demand // _MANY)
        while demand:
            taken = min(demand, at_once)
            kind = _furthest_behind(share, given[group], size[item] * taken)
            given[group, kind] += size[item] * taken
            allotted[kind, item] += taken
            demand -= taken
    return allotted


def _furthest_behind(share: Floats, given: Floats, more: float) -> int:
    behind = np.where(share > 1e-9, share * (given.sum() + more) - given, -np.inf)
    return int(np.argmax(behind))
