"""How many machines of each type: the whole-number side of the bound.

All cuts together, over whole numbers of machines, are a program of as many variables as types. Its
optimum is a lower bound that knows that machines come whole, where the linear one does not; and its
solution is the mix of machines to try to pack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.bounds import Cut, round_up
from edgesdk.planner.highs import new_highs
from edgesdk.planner.items import UNLIMITED, Items

__all__ = ["Mix", "best_mix", "resource_cuts"]


@dataclass(frozen=True, eq=False)
class Mix:
    """Machines of each type, int64 (types,), and what no plan can cost less than."""

    machines: NDArray[np.int64]
    bound: int


def resource_cuts(items: Items) -> list[Cut]:
    """Each resource by itself: the machines together have what the streams together need.

    Where needs differ between devices, the smallest counts; shared loads do not, and the problem's
    relief is taken off.
    """
    least = np.min(np.stack(list({id(need): need for need in items.need}.values())), axis=0)
    total = items.demand @ least
    if items.problem.relief:
        total = total - np.array(items.problem.relief, np.int64)
    return [
        Cut(items.room[:, r].astype(np.float64), float(total[r]))
        for r in range(len(total))
        if total[r] > 0
    ]


def best_mix(items: Items, cuts: Sequence[Cut], *, seconds: float, over: float = 0.0) -> Mix | None:
    """The cheapest whole numbers of machines under all *cuts*; None where there are none.

    *over* is a cost known to be a lower bound, which need not be proven again.
    """
    import highspy

    highs = new_highs(time_limit=seconds, mip_rel_gap=0.0, mip_abs_gap=0.5)
    step = items.problem.price_step()
    prices = items.price / step
    types = items.types
    for kind in range(types):
        limit = float(items.limit[kind])
        upper = highspy.kHighsInf if limit >= UNLIMITED else limit
        highs.addCol(float(prices[kind]), 0.0, upper, 0, np.zeros(0, np.int32), np.zeros(0))
    columns = np.arange(types, dtype=np.int32)
    highs.changeColsIntegrality(types, columns, np.ones(types, dtype=np.uint8))
    for cut in cuts:
        highs.addRow(
            1.0 - 1e-9, highspy.kHighsInf, types, columns, (cut.holds / cut.value).astype(float)
        )
    if over:
        highs.addRow(over / step - 1e-6, highspy.kHighsInf, types, columns, prices.astype(float))
    highs.run()
    status = highs.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return None
    info = highs.getInfo()
    bound = info.mip_dual_bound
    solution = np.array(highs.getSolution().col_value)
    if not math.isfinite(bound):
        bound = over / step
    machines = np.rint(solution).astype(np.int64) if len(solution) == types else None
    return Mix(
        np.zeros(types, np.int64) if machines is None else machines, round_up(bound, 1) * step
    )


def unit_prices(items: Items, total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Micro-dollars a unit of each resource: the duals of the cheapest mix, machines divisible.

    *total* is what all streams need of each resource, shape (resources,).
    """
    import highspy

    highs = new_highs()
    scale = np.maximum(1.0, items.room.max(axis=0))
    for amount in total / scale:
        highs.addRow(float(amount), highspy.kHighsInf, 0, np.zeros(0, np.int32), np.zeros(0))
    rows = np.arange(len(total), dtype=np.int32)
    for kind in range(items.types):
        if items.limit[kind]:
            highs.addCol(
                float(items.price[kind]),
                0.0,
                highspy.kHighsInf,
                len(total),
                rows,
                items.room[kind] / scale,
            )
    highs.run()
    duals = np.array(highs.getSolution().row_dual)
    prices: NDArray[np.float64] = np.maximum(0.0, duals) / scale
    return prices
