"""The best pattern by HiGHS, for the few that :mod:`edgesdk.planner.pricing` leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.highs import new_highs
from edgesdk.planner.items import Items
from edgesdk.planner.pricing import Priced

__all__ = ["ExactPricer"]

Floats = NDArray[np.float64]


class ExactPricer:
    """One type's knapsack as a mixed-integer program, kept for other values. Not thread-safe."""

    def __init__(self, items: Items, kind: int) -> None:
        import highspy

        self._items, self._kind = items, kind
        highs = new_highs(mip_rel_gap=1e-7, mip_abs_gap=1e-9)
        need, room, most = items.need[kind], items.room[kind], items.most[kind]
        kinds, groups = items.kinds, items.loads.shape[0]
        scale = np.maximum(room, 1).astype(float)
        lp: Any = highspy.HighsLp()
        pairs = np.argwhere(items.uses)
        against = np.argwhere(np.triu(items.apart))
        watched = np.flatnonzero(items.apart.any(axis=1))
        place = {int(item): kinds + groups + i for i, item in enumerate(watched)}
        lp.num_col_ = kinds + groups + len(watched)
        width = len(room)
        rows = np.zeros((width + len(pairs) + len(against) + len(watched), lp.num_col_))
        upper = np.zeros(len(rows))
        rows[:width, :kinds] = (need / scale).T
        if groups:
            rows[:width, kinds : kinds + groups] = (items.loads / scale).T
        upper[:width] = room / scale
        at = width
        for item, group in pairs:
            rows[at, item], rows[at, kinds + group] = 1, -max(1, int(most[item]))
            at += 1
        for item in watched:
            rows[at, item], rows[at, place[int(item)]] = 1, -max(1, int(most[item]))
            at += 1
        for first, second in against:
            rows[at, place[int(first)]] = rows[at, place[int(second)]] = 1
            upper[at] = 1
            at += 1
        lp.num_row_ = len(rows)
        lp.col_cost_ = np.zeros(lp.num_col_)
        lp.col_lower_ = np.zeros(lp.num_col_)
        lp.col_upper_ = np.concatenate([most.astype(float), np.ones(lp.num_col_ - kinds)])
        lp.row_lower_ = np.full(len(rows), -np.inf)
        lp.row_upper_ = upper
        lp.integrality_ = [highspy.HighsVarType.kInteger] * lp.num_col_
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        filled, columns = np.nonzero(rows)
        lp.a_matrix_.start_ = np.searchsorted(filled, np.arange(len(rows) + 1))
        lp.a_matrix_.index_ = columns
        lp.a_matrix_.value_ = rows[filled, columns]
        lp.sense_ = highspy.ObjSense.kMaximize
        highs.passModel(lp)
        self._highs = highs

    def price(self, values: Floats, floor: float, seconds: float) -> Priced:
        """As ``Pricer.price``; one pattern at most, and a bound even when *seconds* run out."""
        unit = max(floor, 1.0) if np.isfinite(floor) else 1.0
        kinds = self._items.kinds
        highs = self._highs
        highs.setOptionValue("time_limit", highs.getRunTime() + max(0.01, seconds))
        highs.changeColsCost(kinds, np.arange(kinds, dtype=np.int32), values / unit)
        highs.run()
        info = highs.getInfo()
        bound = float(info.mip_dual_bound) * unit
        bound = max(floor, bound + abs(bound) * 1e-7)
        found = np.array(highs.getSolution().col_value)[:kinds]
        counts = np.rint(found).astype(np.int64)
        solved = info.primal_solution_status == 2 and len(counts) == kinds
        if solved and self._items.fits(self._kind, counts):
            worth = float(counts @ values)
            if worth > floor:
                return Priced(counts[None, :], np.array([worth]), max(bound, worth))
        return Priced(np.zeros((0, kinds), np.int64), np.zeros(0), bound)
