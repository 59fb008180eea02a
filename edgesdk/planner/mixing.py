"""Whether a given mix of machines holds all streams, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.aligning import align
from edgesdk.planner.balancing import balance, is_small
from edgesdk.planner.bounds import Cut
from edgesdk.planner.columns import Columns
from edgesdk.planner.heuristics import Packed
from edgesdk.planner.items import Items, as_pattern
from edgesdk.planner.pricing import Pricer
from edgesdk.planner.rounding import floored, place

__all__ = ["Answer", "pack_mix"]

Ints = NDArray[np.int64]

_NOISE = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03)
"""By how much values are shaken, in turn, to find patterns of many kinds that are nearly full."""


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
    best = align(items, mix, lambda: left() <= 0)
    if best is not None and best.whole:
        return Answer(best, [])
    if best is not None:
        fixed.add(best.patterns)
        if is_small(items, mix, best.left):
            even = balance(items, mix, best, lambda: left() <= 0, rng=rng)
            if even is not None:
                return Answer(even, [])
    best = None
    for attempt in range(attempts):
        rounded = floored(items, fixed.amounts_of(), limit=mix)
        if rounded.whole or left() <= 0:
            return Answer(rounded if rounded.whole else None, [])
        for kind in np.flatnonzero(mix):
            patterns = _full(items, mix, int(kind), rng, shaken=attempt > 0)
            fixed.add(as_pattern(int(kind), counts) for counts in patterns)
        fixed.solve()
        seconds = min(left(), max(_FIRST_SECONDS * 1.4**attempt, left() / 12))
        found = place(items, fixed.patterns, mix, seconds=seconds)
        if found is not None and found.whole:
            best = found
            break
    columns.add(fixed.patterns)
    return Answer(best, [])


_FIRST_SECONDS = 1.0  # its time has a heavy tail: rather again, with other patterns, than longer


def _full(
    items: Items, mix: Ints, kind: int, rng: np.random.Generator, *, shaken: bool
) -> list[Ints]:
    """Patterns of type *kind* that leave little of what is scarce in *mix* unused."""
    needed = items.demand @ items.need[kind]
    have = np.maximum(1, mix @ items.room)
    slack = np.maximum(0.0, (have - needed) / have)
    share = items.need[kind] / np.maximum(1, items.room[kind])
    pricer = Pricer(items, kind)
    found: list[Ints] = []
    for noise in _NOISE:
        weights = 1 / (slack + 1e-3)
        if shaken:
            weights *= rng.random(len(slack))
        values = share @ (weights / weights.sum())
        values = np.maximum(0.0, values * (1 + noise * rng.standard_normal(len(values))))
        found += list(pricer.price(values, 0.98, 256, wanted=8).patterns)
    return found
