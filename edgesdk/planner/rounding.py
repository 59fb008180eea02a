"""From machines by the fraction to whole ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.heuristics import Packed, best_first_fit
from edgesdk.planner.highs import new_highs
from edgesdk.planner.items import UNLIMITED, Items, Pattern

__all__ = ["choose", "floored", "place"]

Ints = NDArray[np.int64]


def covered(items: Items, patterns: Mapping[Pattern, int]) -> Ints:
    """How many of each kind *patterns* hold, shape (kinds,)."""
    total = np.zeros(items.kinds, np.int64)
    for (_, counts), times in patterns.items():
        for item, count in counts:
            total[item] += count * times
    return total


def used(items: Items, patterns: Mapping[Pattern, int]) -> Ints:
    """How many machines of each type, shape (types,)."""
    total = np.zeros(items.types, np.int64)
    for (kind, _), times in patterns.items():
        total[kind] += times
    return total


def floored(
    items: Items,
    amounts: Mapping[Pattern, float],
    *,
    limit: Ints | None = None,
    quick: bool = False,
) -> Packed:
    """The whole part of *amounts*, and first fit for what it leaves."""
    limit = items.limit if limit is None else limit
    whole = {p: int(a + 1e-6) for p, a in amounts.items() if a >= 1 - 1e-6}
    rest = np.maximum(0, items.demand - covered(items, whole))
    free = np.where(limit >= UNLIMITED, limit, np.maximum(0, limit - used(items, whole)))
    tail = best_first_fit(items, demand=rest, limit=free, quick=quick)
    patterns: Counter[Pattern] = Counter(whole)
    patterns.update(tail.patterns)
    return Packed(patterns, tail.left, items.cost(patterns), "columns, rounded")


def choose(
    items: Items,
    patterns: Sequence[Pattern],
    *,
    seconds: float,
    start: Mapping[Pattern, int] | None = None,
) -> Packed | None:
    """The cheapest whole choice among *patterns* that HiGHS finds in *seconds*; None for none.

    *start* is a choice to begin from.
    """
    program = _Program(items, patterns, items.limit, seconds)
    step = items.problem.price_step()
    program.set_costs([float(items.price[kind]) / step for kind, _ in patterns])
    program.highs.setOptionValue("mip_abs_gap", 0.9)
    if start is not None:
        program.begin(start)
    whole, _ = program.solve()
    if whole is None or (covered(items, whole) < items.demand).any():
        return None
    return Packed(whole, np.zeros_like(items.demand), items.cost(whole), "columns, chosen")


def place(items: Items, patterns: Sequence[Pattern], mix: Ints, *, seconds: float) -> Packed | None:
    """All streams on *mix* machines of each type by whole *patterns*, or as many as HiGHS finds.

    What is left over is in the result's *left*; None where nothing was found in *seconds*.
    """
    program = _Program(items, patterns, mix, seconds, weights=_weights(items))
    program.set_costs([0.0] * len(patterns))
    program.highs.setOptionValue("objective_target", 1e-3)
    whole, _ = program.solve()
    if whole is None:
        return None
    left = np.maximum(0, items.demand - covered(items, whole))
    return Packed(whole, left, items.cost(whole), "columns, chosen")


def _weights(items: Items) -> NDArray[np.float64]:
    """What leaving out one of each kind counts: the more, the larger it is."""
    share = items.need[0] / np.maximum(1, items.room.max(axis=0))
    weights: NDArray[np.float64] = np.maximum(1.0, 100.0 * share.sum(axis=1))
    return weights


class _Program:
    """Whole numbers of patterns that cover the demand within the limits; costs come later."""

    def __init__(
        self,
        items: Items,
        patterns: Sequence[Pattern],
        limit: Ints,
        seconds: float,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        import highspy

        self._items, self._patterns, self._limit = items, patterns, limit
        self._slack = 0 if weights is None else items.kinds
        highs = new_highs(time_limit=max(0.05, seconds), mip_rel_gap=0.0)
        limited = [int(kind) for kind in np.flatnonzero(limit < UNLIMITED)]
        lp: Any = highspy.HighsLp()
        lp.num_row_ = items.kinds + len(limited)
        lp.num_col_ = self._slack + len(patterns)
        infinite = np.full(lp.num_row_, highspy.kHighsInf)
        lp.row_lower_ = np.concatenate([items.demand.astype(float), -infinite[items.kinds :]])
        lp.row_upper_ = np.concatenate([infinite[: items.kinds], limit[limited].astype(float)])
        lp.col_lower_ = np.zeros(lp.num_col_)
        lp.col_upper_ = np.full(lp.num_col_, highspy.kHighsInf)
        lp.col_cost_ = np.zeros(lp.num_col_)
        if weights is not None:
            lp.col_cost_ = np.concatenate([weights, np.zeros(len(patterns))])
        row_of = {kind: items.kinds + i for i, kind in enumerate(limited)}
        starts, rows, amounts = [0], [], []
        for item in range(self._slack):
            rows.append(item)
            amounts.append(1.0)
            starts.append(len(rows))
        for kind, counts in patterns:
            rows += [item for item, _ in counts]
            amounts += [float(count) for _, count in counts]
            if kind in row_of:
                rows.append(row_of[kind])
                amounts.append(1.0)
            starts.append(len(rows))
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.array(starts)
        lp.a_matrix_.index_ = np.array(rows)
        lp.a_matrix_.value_ = np.array(amounts)
        lp.integrality_ = [highspy.HighsVarType.kInteger] * lp.num_col_
        highs.passModel(lp)
        self.highs = highs

    def set_costs(self, costs: Sequence[float]) -> None:
        columns = np.arange(self._slack, self._slack + len(costs), dtype=np.int32)
        self.highs.changeColsCost(len(costs), columns, np.array(costs, np.float64))

    def begin(self, start: Mapping[Pattern, int]) -> None:
        place_of = {p: self._slack + i for i, p in enumerate(self._patterns)}
        chosen = [(place_of[p], float(n)) for p, n in start.items() if p in place_of]
        self.highs.setSolution(
            len(chosen),
            np.array([i for i, _ in chosen], np.int32),
            np.array([n for _, n in chosen]),
        )

    def solve(self) -> tuple[dict[Pattern, int] | None, float]:
        """The patterns chosen, within the limits in whole numbers, and HiGHS's bound."""
        self.highs.run()
        info = self.highs.getInfo()
        values = np.array(self.highs.getSolution().col_value)[self._slack :]
        if len(values) != len(self._patterns) or info.primal_solution_status != _FEASIBLE:
            return None, float(info.mip_dual_bound)
        counts = np.rint(values).astype(int)
        whole = {p: int(n) for p, n in zip(self._patterns, counts, strict=True) if n > 0}
        if (used(self._items, whole) > self._limit).any():
            return None, float(info.mip_dual_bound)
        return whole, float(info.mip_dual_bound)


_FEASIBLE = 2  # highspy's kSolutionStatusFeasible
