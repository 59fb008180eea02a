"""One machine less, again and again: its items go to others, and exchanges mend what is over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgesdk.planner.balancing import balance
from edgesdk.planner.heuristics import Packed
from edgesdk.planner.items import Items, Pattern

__all__ = ["shrunk"]

_ROUNDS = 400


def shrunk(
    items: Items, packed: Packed, expired: Callable[[], bool], *, rng: np.random.Generator
) -> Packed | None:
    """*packed* without the machines that it can do without; None where it needs them all.

    The one that holds least for its price goes first. None too where there are rules that
    exchanges do not know.
    """
    best: Packed | None = None
    while not expired():
        fewer = _without_one(items, best or packed)
        if fewer is None:
            break
        mix = np.zeros(items.types, np.int64)
        for (kind, _), times in fewer.patterns.items():
            mix[kind] += times
        if ((mix @ items.room) < items.demand @ items.need[0]).any():
            break
        found = balance(items, mix, fewer, expired, rng=rng, rounds=_ROUNDS)
        if found is None:
            break
        best = Packed(found.patterns, found.left, found.microusd, "shrunk")
    return best


def _without_one(items: Items, packed: Packed) -> Packed | None:
    paid = [pattern for pattern in packed.patterns if items.price[pattern[0]] > 0]
    if not paid or not items.plain or not items.same_need:
        return None

    def worth(pattern: Pattern) -> float:
        kind = pattern[0]
        used = items.used(kind, items.dense(pattern)) / np.maximum(1, items.room.max(axis=0))
        return float(used.sum() / items.price[kind])

    patterns = dict(packed.patterns)
    gone = min(paid, key=worth)
    patterns[gone] -= 1
    if not patterns[gone]:
        del patterns[gone]
    return Packed(patterns, packed.left, items.cost(patterns), packed.method)
