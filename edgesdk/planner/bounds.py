"""Lower bounds on what any plan costs.

Given values of the kinds, and for each type of machine the most that one machine can hold of them,
every plan's machines together hold at least the demand's value: a *cut* on how many machines of
each type there are. The best real combination under one cut is Farley's bound (Farley 1990, with
limits as Vanderbeck and Wolsey have them); the best whole combination under all cuts is a small
integer program, and its bound is often the optimum itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.items import UNLIMITED, Items

__all__ = ["Cut", "cut_bound", "round_up"]

Floats = NDArray[np.float64]

_SAFE = 1e-9


@dataclass(frozen=True, eq=False)
class Cut:
    """``sum(holds[t] * machines[t]) >= value`` in every plan."""

    holds: Floats
    value: float


def cut_bound(items: Items, cut: Cut, limit: NDArray[np.int64] | None = None) -> float:
    """The least cost of real numbers of machines that satisfy *cut*, in micro-dollars.

    The cheapest value goes first, each type up to its limit. Infinite where all types up to their
    limits do not hold the value: then no plan exists.
    """
    limits = items.limit if limit is None else limit
    left = cut.value * (1 - _SAFE)
    cost = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(cut.holds > 0, items.price / cut.holds, np.inf)
    for kind in np.argsort(rate, kind="stable"):
        if left <= 0 or not np.isfinite(rate[kind]):
            break
        wanted = left / cut.holds[kind]
        used = wanted if limits[kind] >= UNLIMITED else min(wanted, float(limits[kind]))
        cost += used * float(items.price[kind])
        left -= used * cut.holds[kind]
    return math.inf if left > abs(cut.value) * _SAFE else cost * (1 - _SAFE)


def round_up(bound: float, step: int) -> int:
    """The least multiple of *step* that is not below *bound*, give or take rounding's error."""
    return max(0, math.ceil((bound - max(1e-6, abs(bound) * _SAFE)) / step)) * step
