"""Whether a given mix of machines holds all streams, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.bounds import Cut
from edgesdk.planner.columns import Columns
from edgesdk.planner.heuristics import Packed
from edgesdk.planner.items import UNLIMITED, Items, as_pattern
from edgesdk.planner.pricing import Pricer
from edgesdk.planner.rounding import choose, floored

__all__ = ["Answer", "pack_mix"]

Ints = NDArray[np.int64]

_NOISE = (0.0, 0.001, 0.003, 0.01, 0.02, 0.03)
"""By how much values are shaken, in turn, to find patterns of many kinds that are nearly full."""

_KINDS_A_CHOICE = 120  # beyond, a choice among many patterns takes HiGHS too long


@dataclass(frozen=True, eq=False)
class Answer:
    """*packed* where the mix holds all; else *cuts* that exclude it, if it is proven that it
    does not."""

    packed: Packed | None
    cuts: list[Cut]


def pack_mix(
    items: Items,
    columns: Columns,
    mix: Ints,
    *,
    left: Callable[[], float],
    attempts: int,
    rng: np.random.Generator,
) -> Answer:
    """Pack everything into *mix* machines of each type, at most *left()* seconds from now.

    Patterns that it finds go into *columns* too.
    """
    fixed = Columns(items, mix=mix)
    fixed.add(columns.patterns)
    fixed.generate(lambda: left() <= 0)
    columns.add(fixed.patterns)
    if fixed.bound > 0:
        return Answer(None, fixed.cuts)
    if fixed.lacking > 1e-6:
        return Answer(None, [])
    for attempt in range(attempts):
        rounded = floored(items, fixed.amounts_of(), limit=mix)
        if rounded.whole:
            return Answer(rounded, [])
        if attempt or items.kinds > _KINDS_A_CHOICE:
            fixed.add(
                as_pattern(t, p) for t in np.flatnonzero(mix) for p in _full(items, mix, t, rng)
            )
            columns.add(fixed.patterns)
            fixed.solve()
        if left() <= 0:
            break
        limit = np.where(items.limit < UNLIMITED, np.minimum(items.limit, mix), mix)
        seconds = min(left(), 0.5 * 2**attempt)
        found, _ = choose(items, fixed.patterns, seconds=seconds, limit=limit)
        if found is not None:
            return Answer(found, [])
    return Answer(None, [])


def _full(items: Items, mix: Ints, kind: int, rng: np.random.Generator) -> list[Ints]:
    """Patterns of type *kind* that leave little of what is scarce in *mix* unused."""
    needed = items.demand @ items.need[kind]
    have = np.maximum(1, mix @ items.room)
    slack = np.maximum(0.0, (have - needed) / have)
    share = items.need[kind] / np.maximum(1, items.room[kind])
    pricer = Pricer(items, kind)
    found: list[Ints] = []
    for noise in _NOISE:
        weights = rng.random(len(slack)) / (slack + 1e-3)
        values = share @ (weights / weights.sum())
        values = np.maximum(0.0, values * (1 + noise * rng.standard_normal(len(values))))
        found += list(pricer.price(values, 0.9, 256, wanted=6).patterns)
    return found
