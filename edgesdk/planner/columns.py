"""Column generation: patterns that pay, and a bound that holds.

The master is a linear program over patterns (Gilmore and Gomory 1961): every kind's demand is
covered, no type's limit exceeded. Its duals are values of the kinds; a pattern worth more than its
machine's price goes in. HiGHS solves it again from its last basis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.bounds import Cut, cut_bound
from edgesdk.planner.exact_pricing import ExactPricer
from edgesdk.planner.highs import new_highs
from edgesdk.planner.items import UNLIMITED, Items, Pattern, as_pattern
from edgesdk.planner.pool import Pool, pool_of
from edgesdk.planner.pricing import Pricer

__all__ = ["Columns"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EPS = 1e-8
_NARROW, _WIDE = 32, 512
_EXACT_SECONDS = 0.5


class Columns:
    """The master, its patterns and the bound so far. Not thread-safe.

    With *mix*, machines of each type, it asks another question: how much of the streams so many
    machines cannot hold. Machines then cost nothing, what is not covered costs one a unit of
    *weight*, and a bound over zero proves that the mix does not do.
    """

    def __init__(self, items: Items, *, mix: Ints | None = None) -> None:
        import highspy

        self._highspy = highspy
        self._items = items
        self._mix = mix
        self._price = items.price if mix is None else np.zeros_like(items.price)
        self._limit = items.limit if mix is None else mix
        self._penalty = 1e6 if mix is not None else 10.0 * float(max(1, items.price.max()))
        self.patterns: list[Pattern] = []
        self._known: set[Pattern] = set()
        self._pricers: dict[int, Pricer | Pool] = {}
        self._exact: dict[int, ExactPricer] = {}
        self.bound = 0.0
        self.cuts: list[Cut] = []
        self.converged = self.stalled = False
        few = self._few = items.types <= 2 and items.kinds > 20
        self._narrow = _NARROW * 16 if few else _NARROW
        self._width = self._narrow
        self._wide = _WIDE * 8 if few else _WIDE
        self._wanted = max(4, 32 // items.types)
        self._limited = np.flatnonzero(self._limit < UNLIMITED)
        self._row_of = {int(t): items.kinds + i for i, t in enumerate(self._limited)}
        self._highs = self._master()
        self._partly = False
        self._lacking = items.kinds  # the columns of what is not covered come first
        self.values: Floats = np.zeros(items.kinds)
        self.rents: Floats = np.zeros(items.types)
        self.amounts: Floats = np.zeros(0)
        self.cost = math.inf
        self.lacking = math.inf

    def _master(self) -> Any:
        items, highspy = self._items, self._highspy
        highs = new_highs(presolve="off")
        for count in items.demand:
            highs.addRow(float(count), highspy.kHighsInf, 0, np.zeros(0, np.int32), np.zeros(0))
        for kind in self._limited:
            limit = float(self._limit[kind])
            highs.addRow(-highspy.kHighsInf, limit, 0, np.zeros(0, np.int32), np.zeros(0))
        for item in range(items.kinds):
            highs.addCol(
                self._penalty, 0.0, highspy.kHighsInf, 1, np.array([item], np.int32), np.ones(1)
            )
        return highs

    def add(self, patterns: Iterable[Pattern]) -> int:
        """Take *patterns* into the master; returns how many were new."""
        added = 0
        for pattern in patterns:
            if pattern in self._known:
                continue
            self._known.add(pattern)
            self.patterns.append(pattern)
            kind, counts = pattern
            rows = [item for item, _ in counts]
            amounts = [float(count) for _, count in counts]
            if kind in self._row_of:
                rows.append(self._row_of[kind])
                amounts.append(1.0)
            self._highs.addCol(
                float(self._price[kind]),
                0.0,
                self._highspy.kHighsInf,
                len(rows),
                np.array(rows, np.int32),
                np.array(amounts),
            )
            added += 1
        return added

    def solve(self) -> None:
        """Solve the master; sets *values*, *rents*, *amounts* (of patterns) and *cost*."""
        self._highs.run()
        solution = self._highs.getSolution()
        duals = np.array(solution.row_dual)
        kinds = self._items.kinds
        self.values = np.maximum(0.0, duals[:kinds])
        self.rents = np.zeros(self._items.types)
        self.rents[self._limited] = np.minimum(0.0, duals[kinds:])
        found = np.array(solution.col_value)
        self.lacking = float(found[: self._lacking].sum())
        self.amounts = found[self._lacking :]
        self.cost = self._highs.getObjectiveValue()

    def require(self, demand: Ints, limit: Ints) -> None:
        """Ask for *demand* within *limit* from now on; bounds stay those of the whole problem."""
        infinite = self._highspy.kHighsInf
        for row, amount in enumerate(demand):
            self._highs.changeRowBounds(row, float(amount), infinite)
        for kind, row in self._row_of.items():
            self._highs.changeRowBounds(row, -infinite, float(limit[kind]))
        self._partly = bool((demand < self._items.demand).any())
        self.converged = self.stalled = False

    def generate(
        self, expired: Callable[[], bool], *, enough: float = 0.0, rounds: int = 10**6
    ) -> None:
        """Price and solve until nothing pays, the bound is within *enough* of the cost, or time.

        *enough* is a share of the cost. Sets *converged* where no pattern pays any more, *stalled*
        where none is found and none is ruled out.
        """
        for _ in range(rounds):
            self.solve()
            if expired():
                return
            found, exact = self._round(self._width, expired)
            if self._mix is not None and (self.bound > 0 or self.lacking < 1e-6):
                self.converged = True
                return
            if self.lacking < 1e-6 and self.bound >= self.cost * (1 - enough) - 1e-3:
                self.converged = True
                return
            if found:
                self._width = max(self._narrow, self._width // 2)
            elif exact or self._width > self._wide:
                self.converged = exact
                self.stalled = not exact
                return
            else:
                self._width *= 4

    def _round(self, width: int, expired: Callable[[], bool]) -> tuple[int, bool]:
        """One round over all types at the master's duals: columns added, and whether exact."""
        items = self._items
        holds = np.zeros(items.types)
        found: list[Pattern] = []
        exact = True
        for kind in range(items.types):
            if kind not in self._pricers:
                pool = pool_of(items, kind) if self._few else None
                self._pricers[kind] = pool or Pricer(items, kind)
            floor = float(self._price[kind] - self.rents[kind])
            floor += max(floor, 1.0) * _EPS
            if self._limit[kind] == 0:
                floor = math.inf  # its bound alone is wanted, for the cut
            priced = self._pricers[kind].price(self.values, floor, width, wanted=self._wanted)
            if (
                width > self._wide
                and not len(priced.patterns)
                and priced.bound > floor * (1 + _EPS)
            ):
                if kind not in self._exact:
                    self._exact[kind] = ExactPricer(items, kind)
                sure = self._exact[kind].price(self.values, floor, _EXACT_SECONDS)
                priced = replace(sure, bound=min(sure.bound, priced.bound))
            holds[kind] = priced.bound
            exact = exact and (len(priced.patterns) > 0 or priced.bound <= floor * (1 + _EPS))
            found += [as_pattern(kind, counts) for counts in priced.patterns]
            if expired():
                return self.add(found), False
        self._note(holds)
        return self.add(found), exact

    def _note(self, holds: Floats) -> None:
        cut = Cut(holds, float(self.values @ self._items.demand))
        if cut.value <= 0 or self._partly:
            return
        self.cuts.append(cut)
        if self._mix is None:
            self.bound = max(self.bound, cut_bound(self._items, cut))
        else:
            short = cut.value * (1 - _EPS) - float(holds @ self._mix)
            self.bound = max(self.bound, short)

    def amounts_of(self) -> Mapping[Pattern, float]:
        """The master's solution: how many machines of each pattern, where not none."""
        # Patterns that came in since the master was solved have no amount yet.
        pairs = zip(self.patterns, self.amounts, strict=False)
        return {p: float(a) for p, a in pairs if a > 1e-9}
